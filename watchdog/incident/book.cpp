#include "watchdog/incident/book.hpp"

#include <utility>

#include <nlohmann/json.hpp>
#include <simdjson.h>

namespace katana::watchdog {

Book::Book(std::string host, std::function<std::string()> fresh_id, std::function<void(const Notice&)> notify)
    : host_(std::move(host)), fresh_id_(std::move(fresh_id)), notify_(std::move(notify)) {}

void Book::send(NoticeKind kind, const Incident& incident, Now now, std::string title) {
  Notice n;
  n.id = fresh_id_();
  n.incident = incident.id;
  n.kind = kind;
  n.severity = incident.report.severity;
  n.at = now.wall;
  n.host = host_;
  n.where = incident.report.where;
  n.title = title.empty() ? incident.report.title : std::move(title);
  n.effect = kind == NoticeKind::Resolved ? "" : incident.report.effect;
  n.last_error = incident.report.last_error;
  n.restarts = incident.report.restarts;
  n.since = incident.opened;
  n.lasted_ms = incident.lasted_ms;
  n.except = incident.report.except;
  notify_(n);
}

bool Book::muted(const std::string& key, const Incident& incident, Now now) {
  Flaps& f = flaps_[key];
  f.flips.push_back(now.mono);
  while (!f.flips.empty() && now.mono - f.flips.front() > kWindow)
    f.flips.pop_front();
  if (f.flapping || static_cast<int>(f.flips.size()) <= kFlips) return f.flapping;
  f.flapping = true;
  f.failures = 0;
  f.first = incident;
  f.first.opened_mono = now.mono;
  send(NoticeKind::Flapping, incident, now,
       incident.report.where + " fails again and again (" + std::to_string((f.flips.size() + 1) / 2) +
           " times in " + human(std::chrono::duration_cast<Millis>(now.mono - f.flips.front())) +
           "); the next message comes when it has been well for " + human(kWindow));
  return true;
}

void Book::open(Report report, Now now) {
  const auto it = open_.find(report.key);
  if (it != open_.end()) {
    // The facts of the day; but what was told stands, so that its end is recognised.
    report.title = std::move(it->second.report.title);
    it->second.report = std::move(report);
    return;
  }
  Incident incident{fresh_id_(), std::move(report), now.wall, {}, 0, now.mono};
  ++opened_total_;
  ++revision_;
  const std::string key = incident.report.key;
  if (!muted(key, incident, now)) send(NoticeKind::Opened, incident, now);
  ++flaps_[key].failures;
  open_.emplace(key, std::move(incident));
}

void Book::resolve(const std::string& key, Now now) {
  const auto it = open_.find(key);
  if (it == open_.end()) return;
  Incident incident = std::move(it->second);
  open_.erase(it);
  ++revision_;
  incident.resolved = now.wall;
  const auto span = incident.opened_mono
                        ? std::chrono::duration_cast<Millis>(now.mono - *incident.opened_mono)
                        : std::chrono::duration_cast<Millis>(now.wall - incident.opened);
  incident.lasted_ms = std::max<std::int64_t>(0, span.count());
  // A resolution is never the flip that mutes: whoever was told of the failure is told of its end.
  const bool was_muted = flaps_[key].flapping;
  flaps_[key].flips.push_back(now.mono);
  if (!was_muted) send(NoticeKind::Resolved, incident, now);
  history_.push_front(std::move(incident));
  if (history_.size() > kHistory) history_.pop_back();
}

void Book::tick(Now now) {
  for (auto it = flaps_.begin(); it != flaps_.end();) {
    Flaps& f = it->second;
    const bool settled = !is_open(it->first) && (f.flips.empty() || now.mono - f.flips.back() >= kWindow);
    if (!settled) {
      ++it;
      continue;
    }
    if (f.flapping) {
      f.first.lasted_ms = std::chrono::duration_cast<Millis>(f.flips.back() - *f.first.opened_mono).count();
      send(NoticeKind::Resolved, f.first, now,
           f.first.report.where + " has been well for " + human(kWindow) + ", after " +
               std::to_string(f.failures) + " more failures");
    }
    it = flaps_.erase(it);
  }
}

std::string Book::dump() const {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [key, i] : open_) {
    all.push_back({{"id", i.id},
                   {"key", key},
                   {"severity", to_string(i.report.severity)},
                   {"component", i.report.component},
                   {"where", i.report.where},
                   {"title", i.report.title},
                   {"effect", i.report.effect},
                   {"last_error", i.report.last_error},
                   {"restarts", i.report.restarts},
                   {"except", i.report.except},
                   {"opened_ms", to_unix_ms(i.opened)}});
  }
  return all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<void> Book::restore(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::array all;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(all))
    return fail(Code::Malformed, std::string("open incidents: ") + simdjson::error_message(error));
  std::map<std::string, Incident> found;
  for (const auto element : all) {
    Incident i;
    bool good = true;
    const auto word = [&](const char* name) -> std::string {
      std::string_view value;
      if (element[name].get(value)) good = false;
      return std::string(value);
    };
    const auto number = [&](const char* name) {
      std::int64_t value = 0;
      if (element[name].get(value)) good = false;
      return value;
    };
    i.id = word("id");
    i.report.key = word("key");
    i.report.severity =
        word("severity") == to_string(Severity::Critical) ? Severity::Critical : Severity::Warning;
    i.report.component = word("component");
    i.report.where = word("where");
    i.report.title = word("title");
    i.report.effect = word("effect");
    i.report.last_error = word("last_error");
    i.report.except = word("except");
    i.report.restarts = static_cast<int>(number("restarts"));
    i.opened = from_unix_ms(number("opened_ms"));
    if (!good)
      return fail(Code::Malformed,
                  "open incidents: entry " + std::to_string(found.size()) + " is incomplete");
    found.emplace(i.report.key, std::move(i));
  }
  open_ = std::move(found);
  return {};
}

}  // namespace katana::watchdog
