// Site, for people on duty: what takes the token.
#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "common/core/json_writer.hpp"
#include "watchdog/status/site.hpp"

namespace katana::watchdog {
namespace {

constexpr const char* kBy = "the status page";
constexpr std::string_view kProcessKey = "process:";
/// How long before an incident opens, or after it is over, a process's last words may be told.
constexpr Seconds kNear{5};

net::ServerResponse answer(int status, const char* key, const std::string& text,
                           std::vector<std::pair<std::string, std::string>> headers = {}) {
  JsonWriter out(text.size() + 16);
  out.begin_object().key(key).value(text).end_object();
  headers.emplace_back("Cache-Control", "no-store");
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  return {status, "application/json; charset=utf-8", out.take() + "\n", std::move(headers), {}};
}

bool is_json(std::string_view content_type) {
  return content_type.substr(0, content_type.find(';')) == "application/json";
}

/// The string members of a JSON object.
struct Wish {
  std::string id, what, length, instance;
};
std::optional<Wish> parse_wish(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body.data(), body.size()).get(object) != simdjson::SUCCESS) return std::nullopt;
  const auto word = [&](const char* name) {
    std::string_view text;
    return object[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
  };
  return Wish{word("id"), word("what"), word("for"), word("instance")};
}

const Incident* find_incident(const Book& book, const std::string& id) {
  for (const auto& [key, i] : book.open_incidents())
    if (i.id == id) return &i;
  for (const auto& i : book.history())
    if (i.id == id) return &i;
  return nullptr;
}

}  // namespace

/// Why the asker may not, or nothing.
std::optional<net::ServerResponse> Site::refuse(const net::ServerRequest& request) {
  if (!gate_.has_token()) {
    log_stranger("somebody asked for something on duty; without KATANA_WATCHDOG_TOKEN this page only shows");
    return answer(403, "error", "This page only shows: KATANA_WATCHDOG_TOKEN is not set.");
  }
  if (!gate_.from_us(request)) {
    log_stranger("another site's page asked for something on duty, and was refused");
    return answer(403, "error", "This was asked by another site's page.");
  }
  switch (gate_.check(request, snapshot_().now.mono)) {
    case Gate::Pass::Granted:
      return std::nullopt;
    case Gate::Pass::TooMany:
      return answer(429, "error", "Too many wrong tokens came from your address. The right one still works.",
                    {{"Retry-After", std::to_string(Gate::kForget.count())}});
    case Gate::Pass::Missing:
      log_stranger("somebody asked for something on duty without a token, and was refused");
      break;
    case Gate::Pass::Wrong:
      break;
  }
  return answer(401, "error", "This takes the token (KATANA_WATCHDOG_TOKEN).",
                {{"WWW-Authenticate", "Bearer realm=\"katana\""}});
}

net::ServerResponse Site::act(const net::ServerRequest& request) {
  if (request.method != "POST") return answer(405, "error", "POST it.", {{"Allow", "POST"}});
  if (!is_json(request.header ? request.header("Content-Type") : std::string_view{}))
    return answer(415, "error", "Send application/json.");
  if (auto refusal = refuse(request)) return *refusal;
  const auto wish = parse_wish(request.body);
  if (!wish || !desk_) return answer(400, "error", "That is no JSON object.");
  const auto outcome = [&]() -> Result<std::string> {
    if (request.path == "/api/acknowledge") return desk_->acknowledge(wish->id, kBy);
    if (request.path == "/api/unsilence") return desk_->unsilence(wish->id, kBy);
    if (request.path == "/api/restart") return desk_->restart(wish->instance, kBy);
    if (wish->what.empty()) return fail(Code::Rejected, "silence what?");
    const auto length = parse_span(wish->length.empty() ? "1h" : wish->length);
    return length ? desk_->silence(wish->what, *length, kBy) : fail(length.error());
  }();
  return outcome ? answer(200, "done", *outcome) : answer(409, "error", outcome.error().detail);
}

/// `/api/incident?id=…`, and `/api/token`: whether a token is the right one.
net::ServerResponse Site::incident(const net::ServerRequest& request) {
  if (auto refusal = refuse(request)) return *refusal;
  if (request.path == "/api/token") return answer(200, "done", "the token is right");
  const Snapshot s = snapshot_();
  const std::string id(request.query ? request.query("id") : std::string_view{});
  const Incident* found = find_incident(*s.book, id);
  if (!found) return answer(404, "error", "There is no such incident.");
  auto out = answer(200, "id", found->id);
  out.body =
      "{\"id\":" + nlohmann::json(found->id).dump() + ",\"last_words\":" + last_words_json(s, *found) + "}\n";
  return out;
}

std::string last_words_json(const Snapshot& s, const Incident& incident) {
  std::vector<std::string> names = incident.members;
  names.push_back(incident.report.key);
  for (auto& name : names)
    if (name.starts_with(kProcessKey)) name.erase(0, kProcessKey.size());
  if (!incident.report.process.empty()) names.push_back(incident.report.process);
  nlohmann::json all = nlohmann::json::array();
  if (!s.last_words) return all.dump();
  for (const auto& [name, words] : *s.last_words) {
    if (std::find(names.begin(), names.end(), name) == names.end() || !words.whole) continue;
    // What it said before another end says nothing of this one.
    const bool later = incident.resolved && words.at > *incident.resolved + kNear;
    if (later || words.at + kNear < incident.opened) continue;
    all.push_back({{"process", name}, {"at_ms", to_unix_ms(words.at)}, {"lines", words.lines}});
  }
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace katana::watchdog
