// Book, from one process to the next: what it keeps, and what it reads again.
#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "watchdog/incident/book.hpp"
#include "watchdog/incident/members.hpp"

namespace katana::watchdog {
namespace {

using nlohmann::json;

/// A moment of an earlier process on our clocks. The wall clock may have jumped: never later than now.
Now moment(std::int64_t unix_ms, Now now) {
  const Wall wall = from_unix_ms(unix_ms);
  const auto ago = std::max(Millis{0}, std::chrono::duration_cast<Millis>(now.wall - wall));
  return {now.mono - ago, wall};
}

/// What is to come keeps its distance, and after a jump of the clock is at most `longest` away.
Mono to_come(std::int64_t unix_ms, Seconds longest, Now now) {
  const auto wait = std::chrono::duration_cast<Millis>(from_unix_ms(unix_ms) - now.wall);
  return now.mono + std::clamp<Millis>(wait, Millis{0}, longest);
}

json to_object(const Incident& i, Now now) {
  json j{{"id", i.id},
         {"key", i.report.key},
         {"severity", to_string(i.report.severity)},
         {"component", i.report.component},
         {"where", i.report.where},
         {"title", i.report.title},
         {"effect", i.report.effect},
         {"last_error", i.report.last_error},
         {"restarts", i.report.restarts},
         {"host", i.report.host},
         {"except", i.report.except},
         {"process", i.report.process},
         {"cause", i.report.cause},
         {"opened_ms", to_unix_ms(i.opened)},
         {"lasted_ms", i.lasted_ms},
         {"told", i.told},
         {"thread", i.thread},
         {"reminders", i.reminders},
         {"members", i.members}};
  if (i.resolved) j["resolved_ms"] = to_unix_ms(*i.resolved);
  if (i.acknowledged) j["acknowledged_ms"] = to_unix_ms(*i.acknowledged);
  if (i.reminder_due)
    j["reminder_due_ms"] =
        to_unix_ms(now.wall + std::chrono::duration_cast<Millis>(*i.reminder_due - now.mono));
  return j;
}

tl::unexpected<Error> incomplete(const char* member) {
  return fail(Code::Malformed, std::string("incidents: '") + member + "' is missing or of the wrong type");
}

Result<Incident> parse_incident(simdjson::dom::element object, Now now) {
  Members m(object);
  Incident i;
  i.id = m.word("id");
  i.report.key = m.word("key");
  i.report.severity =
      m.word("severity") == to_string(Severity::Critical) ? Severity::Critical : Severity::Warning;
  i.report.component = m.word("component");
  i.report.where = m.word("where");
  i.report.title = m.word("title");
  i.report.effect = m.word("effect");
  i.report.last_error = m.word("last_error");
  i.report.except = m.word("except");
  i.report.restarts = static_cast<int>(m.number("restarts"));
  i.opened = from_unix_ms(m.number("opened_ms"));
  if (m.bad()) return incomplete(m.bad());
  i.report.host = m.word_or("host", "");
  i.report.process = m.word_or("process", "");
  i.report.cause = m.word_or("cause", "");
  i.lasted_ms = m.number_or("lasted_ms", 0);
  i.told = m.flag_or("told", true);
  i.thread = m.word_or("thread", i.id);
  i.reminders = static_cast<int>(m.number_or("reminders", 0));
  if (const auto at = m.number_or("resolved_ms", 0)) i.resolved = from_unix_ms(at);
  if (const auto at = m.number_or("acknowledged_ms", 0)) i.acknowledged = from_unix_ms(at);
  if (const auto at = m.number_or("reminder_due_ms", 0))
    i.reminder_due = to_come(at, Book::kRemindSlowly, now);
  m.each("members", [&](simdjson::dom::element key) {
    std::string_view word;
    if (!key.get(word)) i.members.emplace_back(word);
  });
  return i;
}

Result<Flaps> parse_flaps(simdjson::dom::element object, Now now) {
  Members m(object);
  Flaps f;
  f.flapping = m.flag("flapping");
  f.failures = static_cast<int>(m.number("failures"));
  const auto first = m.element("first");
  const auto flips = m.array("flips_ms");
  if (m.bad()) return incomplete(m.bad());
  auto incident = parse_incident(first, now);
  if (!incident) return fail(incident.error());
  f.first = std::move(*incident);
  f.first.opened_mono = moment(to_unix_ms(f.first.opened), now).mono;
  for (const auto flip : flips) {
    std::int64_t ms = 0;
    if (flip.get(ms)) return incomplete("flips_ms");
    f.flips.push_back(moment(ms, now));
  }
  return f;
}

Result<Silence> parse_silence(simdjson::dom::element object, Now now) {
  Members m(object);
  Silence s;
  s.id = m.word("id");
  s.what = m.word("what");
  s.since = from_unix_ms(m.number("since_ms"));
  s.until = from_unix_ms(m.number("until_ms"));
  if (m.bad()) return incomplete(m.bad());
  const auto length = std::chrono::duration_cast<Seconds>(s.until - s.since);
  s.ends = to_come(to_unix_ms(s.until), std::min(length, Book::kLongestSilence), now);
  m.each("keys", [&](simdjson::dom::element key) {
    std::string_view word;
    if (!key.get(word)) s.keys.emplace_back(word);
  });
  return s;
}

/// What a notice tells of its incident.
Incident incident_of(const Notice& n) {
  Incident i;
  i.id = i.thread = n.incident;
  i.report.key = n.key;
  i.report.severity = n.severity;
  i.report.component = n.component;
  i.report.where = n.where;
  i.report.title = n.title;
  i.report.effect = n.effect;
  i.report.last_error = n.last_error;
  i.report.restarts = n.restarts;
  i.report.host = n.host;
  i.report.except = n.except;
  i.report.process = n.process;
  i.opened = n.since;
  i.told = true;
  return i;
}

}  // namespace

std::string Book::dump(Now now) const {
  json open = json::array(), flaps = json::array(), brief = json::array(), history = json::array(),
       silences = json::array();
  for (const auto& [key, incident] : open_)
    open.push_back(to_object(incident, now));
  for (const auto& incident : brief_)
    brief.push_back(to_object(incident, now));
  for (const auto& incident : history_)
    history.push_back(to_object(incident, now));
  for (const auto& [key, f] : flaps_) {
    json j{{"key", key},
           {"flapping", f.flapping},
           {"failures", f.failures},
           {"first", to_object(f.first, now)},
           {"flips_ms", json::array()}};
    for (const Now& flip : f.flips)
      j["flips_ms"].push_back(to_unix_ms(flip.wall));
    flaps.push_back(std::move(j));
  }
  for (const auto& s : silences_)
    silences.push_back({{"id", s.id},
                        {"what", s.what},
                        {"keys", s.keys},
                        {"since_ms", to_unix_ms(s.since)},
                        {"until_ms", to_unix_ms(s.until)}});
  const json all{{"last_notice", last_notice_}, {"open", open},        {"flaps", flaps}, {"brief", brief},
                 {"history", history},          {"silences", silences}};
  return all.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<void> Book::restore(std::string_view text, Now now) {
  simdjson::dom::parser parser;
  simdjson::dom::element all;
  if (const auto error = parser.parse(simdjson::padded_string(text)).get(all))
    return fail(Code::Malformed, std::string("incidents: ") + simdjson::error_message(error));
  simdjson::dom::array open, flaps;
  if (all["open"].get(open)) return incomplete("open");
  if (all["flaps"].get(flaps)) return incomplete("flaps");
  Book found(host_, runbook_, events_);
  Error bad;
  bool good = true;
  const auto take = [&](auto parsed, auto&& keep) {
    if (parsed)
      keep(std::move(*parsed));
    else if (std::exchange(good, false))
      bad = parsed.error();
  };
  for (const auto object : open)
    take(parse_incident(object, now), [&](Incident i) { found.open_.emplace(i.report.key, std::move(i)); });
  for (const auto object : flaps) {
    Members m(object);
    const std::string key = m.word("key");
    if (m.bad()) return incomplete(m.bad());
    take(parse_flaps(object, now), [&](Flaps f) { found.flaps_.emplace(key, std::move(f)); });
  }
  Members m(all);
  m.each("brief", [&](simdjson::dom::element object) {
    take(parse_incident(object, now), [&](Incident i) { found.brief_.push_back(std::move(i)); });
  });
  m.each("history", [&](simdjson::dom::element object) {
    take(parse_incident(object, now), [&](Incident i) { found.history_.push_back(std::move(i)); });
  });
  m.each("silences", [&](simdjson::dom::element object) {
    take(parse_silence(object, now), [&](Silence s) { found.silences_.push_back(std::move(s)); });
  });
  if (!good) return fail(std::move(bad));
  found.last_notice_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, m.number_or("last_notice", 0)));
  *this = std::move(found);
  return {};
}

void Book::recover(const Notice& n, Now now) {
  if (n.number <= last_notice_ || n.key.empty()) return;
  last_notice_ = n.number;
  ++revision_;
  const auto tell = [&](Incident i) -> Incident& {
    Incident& kept = open_[i.report.key];
    // Its facts may be in the dump already, untold.
    if (kept.id.empty()) kept = std::move(i);
    kept.told = true;
    kept.thread = n.incident;
    kept.reminder_due = now.mono + (kept.report.severity == Severity::Critical ? kUnanswered : kRemindSlowly);
    return kept;
  };
  switch (n.kind) {
    case NoticeKind::Opened:
    case NoticeKind::Escalated:
    case NoticeKind::Reminder:
      tell(incident_of(n));
      break;
    case NoticeKind::Storm: {
      Incident& storm = tell(incident_of(n));
      storm.members.clear();
      for (const auto& member : n.members) {
        Incident i = incident_of(n);
        i.id = member.id;
        i.report.key = member.key;
        i.report.component = member.component;
        i.report.where = member.where;
        i.report.title = member.title;
        tell(std::move(i));
        storm.members.push_back(member.key);
      }
      break;
    }
    case NoticeKind::Flapping: {
      Flaps& f = flaps_[n.key];
      f.flapping = true;
      f.first = incident_of(n);
      f.first.opened_mono = now.mono;
      f.flip(now);
      break;
    }
    case NoticeKind::Acknowledged:
      for (auto& [key, i] : open_)
        if (i.thread == n.incident) i.acknowledged = n.at;
      break;
    case NoticeKind::Resolved: {
      std::erase_if(flaps_, [&](const auto& f) { return f.second.first.id == n.incident; });
      std::erase_if(brief_, [&](const Incident& i) { return i.id == n.incident; });
      const auto it = open_.find(n.key);
      if (it == open_.end() || it->second.thread != n.incident) break;
      Incident over = std::move(it->second);
      open_.erase(it);
      // A storm's end is the end of what was in it.
      for (const auto& member : over.members)
        open_.erase(member);
      over.resolved = n.at;
      over.lasted_ms = n.lasted_ms;
      to_history(std::move(over));
      break;
    }
    case NoticeKind::Test:
      break;
  }
}

}  // namespace katana::watchdog
