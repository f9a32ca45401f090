#include "watchdog/incident/notice.hpp"

#include <ctime>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "common/core/text.hpp"

namespace katana::watchdog {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

Facts facts_of(const Notice& n) {
  Facts facts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.emplace_back(name, value);
  };
  add("Where", n.where + (n.host.empty() ? "" : " on " + n.host));
  if (n.kind != NoticeKind::Test) add("Since", utc(n.since));
  if (n.kind == NoticeKind::Resolved) add("Lasted", human(Millis{n.lasted_ms}));
  add("For users", n.effect);
  add("Last error", n.last_error);
  if (n.restarts > 0) add("Restarts", std::to_string(n.restarts));
  add("Incident", n.incident);
  return facts;
}

std::string escape(std::string_view s) {
  std::string out;
  for (const char c : s) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

const char* colour(const Notice& n) {
  if (n.kind == NoticeKind::Resolved) return "#1a7f37";
  if (n.kind == NoticeKind::Test) return "#0969da";
  return n.severity == Severity::Critical ? "#cf222e" : "#9a6700";
}

template <class Enum>
Result<Enum> parse_enum(std::string_view name, std::initializer_list<Enum> all) {
  for (const Enum e : all)
    if (to_string(e) == name) return e;
  return fail(Code::Malformed, "unknown word '" + text::shorten(text::sanitize(name), 20) + "'");
}

}  // namespace

std::string_view to_string(Severity severity) {
  return severity == Severity::Critical ? "critical" : "warning";
}

std::string_view to_string(NoticeKind kind) {
  switch (kind) {
    case NoticeKind::Opened:
      return "opened";
    case NoticeKind::Resolved:
      return "resolved";
    case NoticeKind::Flapping:
      return "flapping";
    case NoticeKind::Test:
      return "test";
  }
  return "opened";
}

std::string human(Millis span) {
  const auto ms = span.count();
  if (ms < 1'000) return std::to_string(ms) + " ms";
  const auto s = ms / 1'000;
  if (s < 10) return std::to_string(s) + "." + std::to_string(ms % 1'000 / 100) + " s";
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3'600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3'600) + " h " + std::to_string(s % 3'600 / 60) + " min";
}

std::string utc(Wall at) {
  const std::time_t t = to_unix(at);
  std::tm parts{};
  gmtime_r(&t, &parts);
  char buffer[40];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return buffer;
}

std::string subject(const Notice& n) {
  switch (n.kind) {
    case NoticeKind::Test:
      return "TEST " + n.title;
    case NoticeKind::Flapping:
      return "FLAPPING " + n.title;
    case NoticeKind::Resolved:
      return "RESOLVED " + n.title + ", lasted " + human(Millis{n.lasted_ms});
    case NoticeKind::Opened:
      break;
  }
  return (n.severity == Severity::Critical ? "CRITICAL " : "WARNING ") + n.title;
}

std::string to_text(const Notice& n) {
  std::string out = subject(n) + "\n";
  for (const auto& [name, value] : facts_of(n))
    out.append("\n").append(name).append(": ").append(value);
  return out + "\n";
}

std::string to_html(const Notice& n) {
  std::string rows;
  for (const auto& [name, value] : facts_of(n))
    rows +=
        "<tr><th style=\"text-align:left;padding:4px 16px 4px "
        "0;color:#59636e;font-weight:normal;white-space:nowrap\">" +
        escape(name) + "</th><td style=\"padding:4px 0\">" + escape(value) + "</td></tr>\n";
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escape(subject(n)) +
         "</title></head>\n<body style=\"margin:0;padding:16px;font:15px/1.5 system-ui,sans-serif\">\n"
         "<div style=\"border-left:6px solid " +
         std::string(colour(n)) +
         ";padding:4px 0 4px 16px\">\n<p style=\"margin:0 0 8px;font-size:18px;color:" + colour(n) +
         "\"><b>" + escape(subject(n)) + "</b></p>\n<table style=\"border-collapse:collapse\">\n" + rows +
         "</table></div>\n</body></html>\n";
}

std::string to_json(const Notice& n) {
  const nlohmann::json j{{"id", n.id},
                         {"incident", n.incident},
                         {"kind", to_string(n.kind)},
                         {"severity", to_string(n.severity)},
                         {"at_ms", to_unix_ms(n.at)},
                         {"host", n.host},
                         {"where", n.where},
                         {"title", n.title},
                         {"effect", n.effect},
                         {"last_error", n.last_error},
                         {"restarts", n.restarts},
                         {"since_ms", to_unix_ms(n.since)},
                         {"lasted_ms", n.lasted_ms},
                         {"except", n.except},
                         {"subject", subject(n)},
                         {"text", to_text(n)}};
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Notice> parse_notice(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object o;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(o))
    return fail(Code::Malformed, std::string("notice: ") + simdjson::error_message(error));
  const char* bad = nullptr;
  const auto word = [&](const char* name) -> std::string {
    std::string_view value;
    if (o[name].get(value)) bad = name;
    return std::string(value);
  };
  const auto number = [&](const char* name) {
    std::int64_t value = 0;
    if (o[name].get(value)) bad = name;
    return value;
  };
  Notice n;
  n.id = word("id");
  n.incident = word("incident");
  n.host = word("host");
  n.where = word("where");
  n.title = word("title");
  n.effect = word("effect");
  n.last_error = word("last_error");
  n.except = word("except");
  n.at = from_unix_ms(number("at_ms"));
  n.since = from_unix_ms(number("since_ms"));
  n.lasted_ms = number("lasted_ms");
  n.restarts = static_cast<int>(number("restarts"));
  const auto kind = parse_enum(
      word("kind"), {NoticeKind::Opened, NoticeKind::Resolved, NoticeKind::Flapping, NoticeKind::Test});
  const auto severity = parse_enum(word("severity"), {Severity::Warning, Severity::Critical});
  if (bad)
    return fail(Code::Malformed, std::string("notice: field '") + bad + "' is missing or of the wrong type");
  if (!kind) return fail(with_context(kind.error(), "notice: kind"));
  if (!severity) return fail(with_context(severity.error(), "notice: severity"));
  n.kind = *kind;
  n.severity = *severity;
  return n;
}

}  // namespace katana::watchdog
