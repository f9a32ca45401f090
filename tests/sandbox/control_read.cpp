// Reading back what the products did.
#include <charconv>

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "control.hpp"

namespace sandbox {
namespace {

using nlohmann::json;

std::int64_t query_number(std::string_view query, std::string_view name, std::int64_t otherwise) {
  const std::string text = query_value(query, name);
  std::int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json headers_json(const std::string& lines) {
  json headers = json::object();
  std::string_view rest = lines;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const auto colon = line.find(": ");
    std::string name(line.substr(0, colon));
    for (char& c : name)
      c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    headers[name] = std::string(line.substr(colon + 2));
    rest.remove_prefix(line.size() + 1);
  }
  return headers;
}

json entry_json(const Entry& entry, bool whole) {
  json out = {{"n", entry.number},
              {"at_ns", entry.at},
              {"answered_ns", entry.answered},
              {"method", entry.method},
              {"path", entry.path},
              {"call", entry.call},
              {"chat", entry.chat},
              {"bot", entry.bot},
              {"body_bytes", entry.body_bytes},
              {"status", entry.status},
              {"retry_after", entry.retry_after},
              {"reply_bytes", entry.reply_bytes},
              {"outcome", entry.outcome},
              {"authorized", entry.authorized}};
  json unknown = json::array();
  std::string_view rest = entry.unknown_fields;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    unknown.push_back(std::string(rest.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  out["unknown_fields"] = std::move(unknown);
  if (!whole) return out;
  out["headers"] = headers_json(entry.headers);
  // A JSON body comes back as JSON, so that a test can look into it; `raw` has what isn't.
  json body = json::parse(entry.body, nullptr, false);
  if (body.is_object() || body.is_array()) {
    out["body"] = std::move(body);
  } else {
    out["raw"] = entry.body;
  }
  return out;
}

}  // namespace

void Control::read_record(Act& act) {
  const std::string_view query = act.request.query;
  const auto since = static_cast<std::uint64_t>(query_number(query, "since", 0));
  const std::int64_t limit = query_number(query, "limit", 10'000);
  const std::int64_t chat = query_number(query, "chat", 0);
  const std::string path = query_value(query, "path");
  const std::string call = query_value(query, "call");
  const std::string bot = query_value(query, "bot");
  const bool whole = query_value(query, "brief") != "1";
  std::string out;
  std::int64_t count = 0;
  for (const Entry& entry : world_.record.entries()) {
    if (entry.number <= since || (chat != 0 && entry.chat != chat)) continue;
    if (!path.empty() && entry.path.find(path) == std::string::npos) continue;
    if (!call.empty() && !same_ignoring_case(entry.call, call)) continue;
    if (!bot.empty() && entry.bot != act.bot->id) continue;
    if (count++ == limit) break;
    out += dump(entry_json(entry, whole));
    out += '\n';
  }
  const std::string headers = "X-First: " + std::to_string(world_.record.first()) +
                              "\r\nX-Last: " + std::to_string(world_.record.last()) + "\r\n";
  act.connection.reply(200, "application/x-ndjson", out, headers);
}

void Control::read_chat(Act& act) {
  std::int64_t id = query_number(act.request.query, "id", 0);
  if (id == 0) id = query_number(act.request.query, "chat", 0);
  const Chat* chat = world_.telegram.find_chat(*act.bot, id);
  if (chat == nullptr) return act.connection.json(404, R"({"ok":false,"error":"no such chat"})");
  std::string out = "{\"chat\":" + chat->json + ",\"bot\":" + act.bot->json + ",\"messages\":[";
  for (const Message& message : chat->messages) {
    if (out.back() != '[') out += ',';
    out += world_.telegram.history_json(*act.bot, *chat, message);
  }
  act.connection.json(200, out + "]}");
}

void Control::read_chats(Act& act) {
  std::string out = "{\"bot\":" + act.bot->json + ",\"chats\":[";
  for (const auto& [id, chat] : act.bot->chats) {
    if (out.back() != '[') out += ',';
    out += "{\"chat\":" + chat.json + ",\"messages\":" + std::to_string(chat.messages.size()) + "}";
  }
  act.connection.json(200, out + "]}");
}

void Control::read_mail(Act& act) {
  json mails = json::array();
  for (const Mail& mail : world_.smtp.mails()) {
    const auto split = mail.data.find("\r\n\r\n");
    json headers = json::object();
    std::string name;
    std::string_view head = std::string_view(mail.data).substr(0, split);
    while (!head.empty()) {
      const auto end = head.find("\r\n");
      const std::string_view line = head.substr(0, end);
      const auto colon = line.find(':');
      if ((line[0] == ' ' || line[0] == '\t') && !name.empty()) {
        headers[name] = headers[name].get<std::string>() + std::string(line);
      } else if (colon != std::string_view::npos) {
        name = line.substr(0, colon);
        for (char& c : name)
          c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        headers[name] = std::string(line.substr(std::min(line.size(), colon + 2)));
      }
      if (end == std::string_view::npos) break;
      head.remove_prefix(end + 2);
      if (head.empty() || line.empty()) break;
    }
    mails.push_back({{"at_ns", mail.at},
                     {"hello", mail.hello},
                     {"from", mail.from},
                     {"to", mail.to},
                     {"tls", mail.tls},
                     {"auth_user", mail.auth_user},
                     {"headers", headers},
                     {"data", mail.data},
                     {"body", split == std::string::npos ? std::string() : mail.data.substr(split + 4)}});
  }
  act.connection.json(200, dump({{"mails", mails}}));
}

void Control::read_stats(Act& act) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  json bots = json::array();
  for (const auto& bot : world_.telegram.bots()) {
    bots.push_back({{"id", bot->id},
                    {"calls", bot->calls},
                    {"pending_updates", bot->queue.size()},
                    {"conflicts", bot->conflicts},
                    {"polling", bot->poll.connection != nullptr},
                    {"webhook", !bot->webhook_url.empty()},
                    {"flood_refusals", bot->flood.refusals()},
                    {"chats", bot->chats.size()}});
  }
  act.connection.json(200, dump({{"requests", world_.http->requests()},
                                 {"connections", world_.http->connections()},
                                 {"errors", world_.http->errors()},
                                 {"record",
                                  {{"on", world_.record.on()},
                                   {"first", world_.record.first()},
                                   {"last", world_.record.last()},
                                   {"bytes", world_.record.bytes()}}},
                                 {"answers", world_.providers.answers()},
                                 {"answers_running", world_.providers.running()},
                                 {"answers_most_at_once", world_.providers.most_at_once()},
                                 {"scripts_waiting", world_.providers.scripts().size()},
                                 {"faults_waiting", world_.telegram.faults().size()},
                                 {"mails", world_.smtp.mails().size()},
                                 {"bots", bots},
                                 {"cpu_s", seconds(usage.ru_utime) + seconds(usage.ru_stime)},
                                 {"max_rss_kb", usage.ru_maxrss},
                                 {"now_ns", now_ns()}}));
}

void Control::read_bots(Act& act) {
  std::string out = "{\"bots\":[";
  for (const auto& bot : world_.telegram.bots()) {
    if (out.back() != '[') out += ',';
    std::string one = bot->json;
    one.pop_back();
    const bool served = bot->poll.connection != nullptr || !bot->webhook_url.empty() ||
                        (bot->last_poll != 0 && now_ns() - bot->last_poll < 2 * kSecond);
    const auto commands = bot->commands.find(std::string(kDefaultScope));
    out += one + ",\"polling\":" + (served ? "true" : "false") +
           ",\"commands\":" + (commands == bot->commands.end() ? "[]" : commands->second) + "}";
  }
  act.connection.json(200, out + "]}");
}

void Control::events(Act& act) {
  const bool one_bot = !query_value(act.request.query, "bot").empty();
  feed_.stream(act.connection, one_bot ? act.bot->id : 0, query_number(act.request.query, "chat", 0));
}

/// Looks at what stands in the chat first, then waits for what is shown.
void Control::wait(Act& act) {
  const std::string_view query = act.request.query;
  const std::int64_t id = query_number(query, "chat", 0);
  const std::string event = query_value(query, "event");
  const std::string contains = query_value(query, "contains");
  const std::int64_t after = query_number(query, "after", 0);  // message id
  const Chat* chat = world_.telegram.find_chat(*act.bot, id);
  if (chat != nullptr && event.empty()) {
    for (const Message& message : chat->messages) {
      if (message.deleted || !message.by_bot || message.id <= after ||
          (message.text + message.rich).find(contains) == std::string::npos)
        continue;
      return act.connection.json(200, "{\"event\":\"standing\",\"bot\":" + std::to_string(act.bot->id) +
                                          ",\"chat\":" + std::to_string(id) + ",\"message\":" +
                                          world_.telegram.message_json(*act.bot, *chat, message) + "}");
    }
  }
  const std::int64_t patience = query_number(query, "timeout_ms", 10'000);
  const std::string as_json = to_json(contains);
  feed_.wait(act.connection, act.bot->id, id, event, as_json.substr(1, as_json.size() - 2),
             patience * kMilli);
}

}  // namespace sandbox
