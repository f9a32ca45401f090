#include "watchdog/status/snapshot.hpp"

#include <nlohmann/json.hpp>

#include "watchdog/status/history.hpp"

namespace katana::watchdog {
namespace {

using nlohmann::json;

json process_json(const Member& m, const Snapshot& s) {
  json j{{"component", m.component},
         {"instance", m.instance},
         {"state", to_string(m.state)},
         {"since_ms", std::chrono::duration_cast<Millis>(s.now.mono - m.since).count()},
         {"supervised", m.child},
         {"restarts", m.restarts},
         {"pid", m.pid}};
  if (s.history) j["beats"] = s.history->beats(m.instance);
  if (!m.beat) return j;
  const auto& b = *m.beat;
  j["host"] = b.host;
  j["process_id"] = b.process_id;
  j["build"] = b.build;
  j["uptime_ms"] = b.uptime_ms;
  j["heard_ms_ago"] = std::chrono::duration_cast<Millis>(s.now.mono - m.heard).count();
  j["loop_lag_ms"] = b.loop_lag_ms;
  j["progress"] = b.progress;
  j["queue"] = b.queue;
  j["in_flight"] = b.in_flight;
  if (m.component == "gateway") j["open_questions"] = b.open_questions;
  j["oldest_wait_ms"] = b.oldest_wait_ms;
  j["rss_bytes"] = b.rss_bytes;
  j["cpu_ms"] = b.cpu_ms;
  j["healthy"] = b.healthy;
  j["unhealthy_reason"] = b.unhealthy_reason;
  j["last_error"] = b.last_error;
  return j;
}

json dead_man_json(const std::optional<DeadMan::Status>& status) {
  if (!status) return {{"set", false}};
  json j{{"set", true}, {"last_error", status->last_error}};
  if (status->last_asked) j["last_asked_ms"] = to_unix_ms(*status->last_asked);
  return j;
}

json silence_json(const Silence& s) {
  return {
      {"id", s.id}, {"what", s.what}, {"since_ms", to_unix_ms(s.since)}, {"until_ms", to_unix_ms(s.until)}};
}

json incident_json(const Incident& i, const Snapshot& s) {
  json j{{"id", i.id},
         {"thread", i.thread},
         {"told", i.told},
         {"silenced", s.book->is_silenced(i.report)},
         {"process", i.report.process},
         {"host", i.report.host.empty() ? s.host : i.report.host},
         {"runbook", i.report.key.substr(0, i.report.key.find(':'))},
         {"key", i.report.key},
         {"severity", to_string(i.report.severity)},
         {"where", i.report.where},
         {"title", i.report.title},
         {"effect", i.report.effect},
         {"last_error", i.report.last_error},
         {"restarts", i.report.restarts},
         {"opened_ms", to_unix_ms(i.opened)}};
  if (i.acknowledged) j["acknowledged_ms"] = to_unix_ms(*i.acknowledged);
  if (!i.members.empty()) j["members"] = i.members;
  if (i.resolved) {
    j["resolved_ms"] = to_unix_ms(*i.resolved);
    j["lasted_ms"] = i.lasted_ms;
  }
  return j;
}

json past_incidents(const Snapshot& s) {
  json all = json::array();
  for (const auto& i : s.book->history())
    all.push_back(incident_json(i, s));
  return all;
}

std::string text_of(const json& j) {
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

json channel_json(const Delivery::Status& c) {
  json j{{"name", c.name}, {"waiting", c.waiting}, {"failing", c.failing}, {"last_error", c.last_error},
         {"sent", c.sent}, {"dropped", c.dropped}};
  if (c.last_sent) j["last_sent_ms"] = to_unix_ms(*c.last_sent);
  return j;
}

}  // namespace

bool healthy(const Snapshot& s) {
  for (const auto& [key, i] : s.book->open_incidents())
    if (i.report.severity == Severity::Critical) return false;
  return true;
}

std::string to_json(const Snapshot& s, bool past) {
  json j{{"at_ms", to_unix_ms(s.now.wall)},
         {"host", s.host},
         {"version", KATANA_VERSION},
         {"healthy", healthy(s)},
         {"supervising", s.supervising},
         {"lockable", s.lockable},
         {"nobody_will_be_told", s.channels.empty()},
         {"dead_man", dead_man_json(s.dead_man)},
         {"expect", s.expect},
         {"processes", json::array()},
         {"incidents", json::array()},
         {"silences", json::array()},
         {"channels", json::array()}};
  for (const auto& [name, m] : s.roster->members())
    j["processes"].push_back(process_json(m, s));
  for (const auto& [key, i] : s.book->open_incidents())
    j["incidents"].push_back(incident_json(i, s));
  if (past) j["history"] = past_incidents(s);
  for (const auto& silence : s.book->silences())
    j["silences"].push_back(silence_json(silence));
  for (const auto& c : s.channels)
    j["channels"].push_back(channel_json(c));
  return text_of(j);
}

std::string past_json(const Snapshot& s) {
  return text_of(past_incidents(s));
}

}  // namespace katana::watchdog
