#include "bare_bot.hpp"

namespace sandbox {
namespace {

constexpr Nanos kPatience = 600 * kSecond;

/// The text of all text_delta events of a stream.
std::string text_of_stream(std::string_view body) {
  constexpr std::string_view kStart = R"("delta":{"type":"text_delta","text":)";
  static simdjson::dom::parser parser;
  std::string text;
  for (auto at = body.find(kStart); at != std::string_view::npos; at = body.find(kStart, at + 1)) {
    const auto end = body.find("}}\n", at);
    Json piece;
    std::string_view value;
    if (parser.parse(body.substr(at + kStart.size(), end - at - kStart.size())).get(piece) ==
            simdjson::SUCCESS &&
        piece.get(value) == simdjson::SUCCESS) {
      text += value;
    }
  }
  return text;
}

}  // namespace

BareBot::BareBot(Loop& loop, std::string host, int port, std::string token, BareFaults faults)
    : loop_(loop), host_(std::move(host)), port_(port), token_(std::move(token)), faults_(faults) {}

BareBot::~BareBot() {
  for (auto& [key, errand] : errands_)
    key->leave();
}

BareBot::Errand* BareBot::errand() {
  if (!idle_.empty()) {
    Errand* one = idle_.back();
    idle_.pop_back();
    return one;
  }
  const int fd = connect_loopback(host_, port_);
  if (fd < 0) return nullptr;
  auto fresh = std::make_unique<Errand>();
  fresh->connection = std::make_unique<ClientConnection>(loop_, fd, *this);
  Errand* one = fresh.get();
  errands_.emplace(one->connection.get(), std::move(fresh));
  return one;
}

void BareBot::post(Errand& errand, std::string_view path, std::string_view headers, std::string_view body) {
  std::string request = "POST ";
  request.append(path)
      .append(" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
      .append(headers);
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  request += body;
  errand.connection->request(request, kPatience);
}

void BareBot::poll() {
  Errand* one = errand();
  if (one == nullptr) return;
  one->step = Step::Polling;
  post(*one, "/bot" + token_ + "/getUpdates", {},
       "{\"timeout\":50,\"offset\":" + std::to_string(offset_) + "}");
}

void BareBot::read_updates(std::string_view body) {
  Json root;
  Json result;
  JsonArray updates;
  if (parser_.parse(body).get(root) != simdjson::SUCCESS || !member(root, "result", result) ||
      result.get(updates) != simdjson::SUCCESS)
    return;
  for (const Json update : updates) {
    offset_ = number_of(update, "update_id") + 1;
    Json message;
    Json chat;
    if (!member(update, "message", message) || !member(message, "chat", chat)) continue;
    if (faults_.lose_every > 0 && ++seen_ % faults_.lose_every == 0) continue;
    ask(number_of(chat, "id"), text_of(message, "text"));
  }
}

void BareBot::ask(std::int64_t chat, std::string_view text) {
  Errand* one = errand();
  if (one == nullptr) return;
  one->step = Step::Asking;
  one->chat = chat;
  one->twice = faults_.double_every > 0 && ++seen_ % faults_.double_every == 0;
  post(*one, "/v1/messages", "x-api-key: bare\r\nanthropic-version: 2023-06-01\r\n",
       "{\"model\":\"claude-haiku-5-5\",\"max_tokens\":4096,\"stream\":true,\"messages\":[{\"role\":\"user\","
       "\"content\":" +
           to_json(text) + "}]}");
}

void BareBot::send(Errand& errand) {
  errand.step = Step::Sending;
  post(errand, "/bot" + token_ + "/sendMessage", {},
       "{\"chat_id\":" + std::to_string(errand.chat) + ",\"text\":" + to_json(errand.answer) + "}");
}

void BareBot::on_reply(ClientConnection& connection, int, std::string_view body) {
  Errand& one = *errands_.at(&connection);
  const Step step = one.step;
  if (step == Step::Asking) {
    one.answer = text_of_stream(body);
    return send(one);
  }
  if (step == Step::Sending && one.twice) {
    one.twice = false;
    return send(one);
  }
  one.step = Step::Idle;
  idle_.push_back(&one);
  if (step != Step::Polling) return;
  read_updates(body);
  poll();
}

void BareBot::on_lost(ClientConnection& connection, const char*) {
  const auto found = errands_.find(&connection);
  if (found == errands_.end()) return;
  std::erase(idle_, found->second.get());
  loop_.bury(std::move(found->second->connection));
  errands_.erase(found);
}

}  // namespace sandbox
