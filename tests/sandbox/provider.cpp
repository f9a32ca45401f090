#include "provider.hpp"

#include <algorithm>

#include "generation.hpp"

namespace sandbox {

Providers::Providers(Loop& loop, Record& record) : loop_(loop), record_(record) {}
Providers::~Providers() = default;

bool Providers::good_key(std::string_view key) const {
  return !key.empty() && (keys.empty() || std::find(keys.begin(), keys.end(), key) != keys.end());
}

std::string Providers::next_id(std::string_view prefix) {
  std::string id(prefix);
  std::string number = std::to_string(++ids_);
  id.append(24 - std::min<std::size_t>(20, number.size()), '0');
  return id + number;
}

bool Providers::refuse(HttpConnection& connection, const Ask& ask, const Dialect& dialect, int status,
                       std::string_view type, std::string_view message, std::string_view code,
                       std::string_view param) {
  std::string body = dialect.error(ask, status, type, message, code);
  if (!param.empty()) {
    const auto at = body.find("\"param\":null");
    if (at != std::string::npos) body.replace(at, 12, "\"param\":" + to_json(param));
  }
  connection.reply(status, "application/json", body, dialect.headers(ask));
  return false;
}

bool Providers::admit(HttpConnection& connection, const Request& request, Ask& ask, const Dialect& dialect,
                      std::string_view call, Json& body) {
  const bool anthropic = dialect.provider() == "anthropic";
  std::string_view key = request.header("x-api-key");
  if (!anthropic || key.empty()) {
    key = request.header("authorization");
    if (!take_prefix(key, "Bearer ")) key = {};
  }
  const bool authorized = good_key(key);
  if (Entry* entry = record_.find(request.record)) {
    entry->call = call;
    entry->authorized = authorized;
  }
  if (!authorized) {
    if (anthropic) {
      return refuse(connection, ask, dialect, 401, "authentication_error",
                    key.empty() ? "x-api-key header is required" : "invalid x-api-key");
    }
    return refuse(connection, ask, dialect, 401, "invalid_request_error",
                  key.empty() ? "You didn't provide an API key." : "Incorrect API key provided.",
                  "invalid_api_key");
  }
  if (request.method != "POST")
    return refuse(connection, ask, dialect, 405, "invalid_request_error", "Method Not Allowed");
  constexpr std::size_t kMaxRequest = 32U << 20;
  if (request.body.size() > kMaxRequest) {
    return refuse(connection, ask, dialect, 413, anthropic ? "request_too_large" : "invalid_request_error",
                  "Request exceeds the maximum size");
  }
  JsonObject fields;
  if (parser_.parse(request.body.data(), request.body.size(), false).get(body) != simdjson::SUCCESS ||
      body.get(fields) != simdjson::SUCCESS) {
    return refuse(connection, ask, dialect, 400, "invalid_request_error",
                  "The request body is not valid JSON");
  }
  return true;
}

void Providers::answer(HttpConnection& connection, const Request& request, Ask ask,
                       std::unique_ptr<Dialect> dialect) {
  Script script = scripts_.take(dialect->provider(), ask.last_user_text);
  if (script.error_status != 0) {
    if (script.error_html) {
      return connection.reply(
          script.error_status, "text/html",
          "<html><body><h1>" + std::to_string(script.error_status) + "</h1></body></html>",
          script.error_headers);
    }
    return connection.reply(
        script.error_status, "application/json",
        dialect->error(ask, script.error_status, script.error_type, script.error_message, script.error_code),
        overlaid(dialect->headers(ask), script.error_headers));
  }
  if (probe_ != nullptr && !script.end.empty()) probe_->on_asked(script.end, request.received);
  if (!script.thinking.empty()) ask.thinks = true;
  auto generation =
      std::make_unique<Generation>(*this, connection, std::move(ask), std::move(script), std::move(dialect));
  Generation* key = generation.get();
  running_.emplace(key, std::move(generation));
  most_ = std::max(most_, running_.size());
  key->begin(request.received);
}

void Providers::reset() {
  scripts_.clear();
  keys.clear();
  any_model = false;
  answers_ = 0;
  most_ = running_.size();
}

std::string demo_answer(const Ask& ask) {
  const std::string ordinal = std::to_string(ask.user_turns);
  std::string quoted = ask.last_user_text.substr(0, 600);
  while (!quoted.empty() && (static_cast<unsigned char>(quoted.back()) & 0xC0U) == 0x80U &&
         ask.last_user_text.size() > 600)
    quoted.pop_back();
  std::string text =
      "You wrote: *" + quoted + "*\n\nThat was message **" + ordinal + "** of yours in this conversation";
  text += ask.user_turns > 1 ? ", and I still have the ones before it.\n\n"
                             : ". Write on, and see that I remember.\n\n";
  if (ask.attachments > 0) text += "With it came " + std::to_string(ask.attachments) + " attachment(s).\n\n";
  text += "I am the sandbox's pretend model `" + ask.model +
          "`, and I only show what an answer looks like:\n\n"
          "- it **appears while it is written**,\n"
          "- with *formatting* that never breaks,\n"
          "- and a code block:\n\n"
          "```cpp\nint main() {\n  return " +
          ordinal +
          ";  // turns so far\n}\n```\n\n"
          "Try `/help`, or ask again with the other provider.";
  return text;
}

}  // namespace sandbox
