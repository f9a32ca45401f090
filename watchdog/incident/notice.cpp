#include "watchdog/incident/notice.hpp"

#include <initializer_list>

#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "common/core/text.hpp"
#include "watchdog/incident/members.hpp"

namespace katana::watchdog {
namespace {

template <class Enum>
Result<Enum> parse_enum(std::string_view name, std::initializer_list<Enum> all) {
  for (const Enum e : all)
    if (to_string(e) == name) return e;
  return fail(Code::Malformed, "unknown word '" + text::shorten(text::sanitize(name), 20) + "'");
}

nlohmann::json to_object(const Notice::Member& m) {
  return {{"key", m.key}, {"id", m.id}, {"component", m.component}, {"where", m.where}, {"title", m.title}};
}

std::string dump(const nlohmann::json& j) {
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json to_object(const Notice& n) {
  return {{"id", n.id},
          {"number", n.number},
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
          {"runbook", n.runbook},
          {"process", n.process},
          {"key", n.key},
          {"component", n.component},
          {"subject", subject(n)},
          {"text", to_text(n)}};
}

}  // namespace

std::string_view to_string(Severity severity) {
  return severity == Severity::Critical ? "critical" : "warning";
}

std::string_view to_string(NoticeKind kind) {
  switch (kind) {
    case NoticeKind::Opened:
      return "opened";
    case NoticeKind::Storm:
      return "storm";
    case NoticeKind::Flapping:
      return "flapping";
    case NoticeKind::Escalated:
      return "escalated";
    case NoticeKind::Reminder:
      return "reminder";
    case NoticeKind::Acknowledged:
      return "acknowledged";
    case NoticeKind::Resolved:
      return "resolved";
    case NoticeKind::Test:
      return "test";
  }
  return "opened";
}

bool calls_for_action(NoticeKind kind) {
  return kind == NoticeKind::Opened || kind == NoticeKind::Storm || kind == NoticeKind::Flapping ||
         kind == NoticeKind::Escalated || kind == NoticeKind::Reminder;
}

std::string to_json(const Notice& n) {
  return dump(to_object(n));
}

std::string to_spool(const Notice& n) {
  nlohmann::json j = to_object(n);
  for (const auto& m : n.members)
    j["members"].push_back(to_object(m));
  return dump(j);
}

Result<Notice> parse_notice(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element all;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(all))
    return fail(Code::Malformed, std::string("notice: ") + simdjson::error_message(error));
  Members m(all);
  Notice n;
  n.id = m.word("id");
  n.number = static_cast<std::uint64_t>(std::max<std::int64_t>(0, m.number_or("number", 0)));
  n.incident = m.word("incident");
  n.host = m.word("host");
  n.where = m.word("where");
  n.title = m.word("title");
  n.effect = m.word("effect");
  n.last_error = m.word("last_error");
  n.except = m.word("except");
  n.runbook = m.word_or("runbook", "");
  n.process = m.word_or("process", "");
  n.key = m.word_or("key", "");
  n.component = m.word_or("component", "");
  n.at = from_unix_ms(m.number("at_ms"));
  n.since = from_unix_ms(m.number("since_ms"));
  n.lasted_ms = m.number("lasted_ms");
  n.restarts = static_cast<int>(m.number("restarts"));
  const auto kind =
      parse_enum(m.word("kind"),
                 {NoticeKind::Opened, NoticeKind::Storm, NoticeKind::Flapping, NoticeKind::Escalated,
                  NoticeKind::Reminder, NoticeKind::Acknowledged, NoticeKind::Resolved, NoticeKind::Test});
  const auto severity = parse_enum(m.word("severity"), {Severity::Warning, Severity::Critical});
  m.each("members", [&](simdjson::dom::element element) {
    Members one(element);
    n.members.push_back(
        {one.word("key"), one.word("id"), one.word("component"), one.word("where"), one.word("title")});
    if (one.bad()) n.members.pop_back();
  });
  if (m.bad())
    return fail(Code::Malformed,
                std::string("notice: field '") + m.bad() + "' is missing or of the wrong type");
  if (!kind) return fail(with_context(kind.error(), "notice: kind"));
  if (!severity) return fail(with_context(severity.error(), "notice: severity"));
  n.kind = *kind;
  n.severity = *severity;
  return n;
}

}  // namespace katana::watchdog
