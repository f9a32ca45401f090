#include "watchdog/incident/book.hpp"

#include <algorithm>
#include <utility>

#include "common/core/text.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kMostWhat = 100;  // bytes of what a silence is about

Millis span(Mono from, Mono to) {
  return std::chrono::duration_cast<Millis>(to - from);
}

}  // namespace

Book::Book(std::string host, std::string runbook, Events events)
    : host_(std::move(host)), runbook_(std::move(runbook)), events_(std::move(events)) {}

void Book::send(NoticeKind kind, const Incident& incident, Now now, std::string title) {
  const Report& report = incident.report;
  Notice n;
  n.id = events_.fresh_id();
  n.number = ++last_notice_;
  n.incident = incident.thread;
  n.kind = kind;
  n.severity = report.severity;
  n.at = now.wall;
  n.host = report.host.empty() ? host_ : report.host;
  n.where = report.where;
  n.title = title.empty() ? report.title : std::move(title);
  if (kind != NoticeKind::Resolved) n.effect = report.effect;
  if (calls_for_action(kind) && events_.load)
    if (const std::string load = events_.load(); !load.empty())
      n.effect += (n.effect.empty() ? "" : "; ") + load;
  n.last_error = report.last_error;
  n.restarts = report.restarts;
  n.since = incident.opened;
  n.lasted_ms = incident.lasted_ms;
  n.except = report.except;
  n.process = report.process;
  n.key = report.key;
  n.component = report.component;
  if (!runbook_.empty() && kind != NoticeKind::Resolved)
    n.runbook = runbook_ + "#" +
                (kind == NoticeKind::Flapping ? "flapping" : report.key.substr(0, report.key.find(':')));
  for (const auto& key : incident.members) {
    if (kind != NoticeKind::Storm) break;
    const auto it = open_.find(key);
    if (it == open_.end()) continue;
    const Incident& i = it->second;
    n.members.push_back({key, i.id, i.report.component, i.report.where, i.report.title});
  }
  ++revision_;
  events_.notify(n);
}

// ---- what is wrong ----

void Book::open(Report report, Now now) {
  const auto it = open_.find(report.key);
  if (it != open_.end()) {
    Incident& i = it->second;
    const bool worse = report.severity == Severity::Critical && i.report.severity == Severity::Warning;
    // The facts of the day; but what was told stands, so that its end is recognised.
    if (i.told && !worse) report.title = std::move(i.report.title);
    i.report = std::move(report);
    if (worse) became_critical(i, now);
    return;
  }
  Incident incident;
  incident.id = incident.thread = events_.fresh_id();
  incident.report = std::move(report);
  incident.opened = now.wall;
  incident.opened_mono = now.mono;
  ++opened_total_;
  ++opened_by_[incident.report.severity];
  ++revision_;
  const std::string key = incident.report.key;
  const bool flapping = begins_flapping(key, incident, now);
  open_.emplace(key, std::move(incident));
  if (!flapping) tell_due(now);
}

void Book::became_critical(Incident& incident, Now now) {
  ++revision_;
  if (!incident.told) return;
  // Whoever asked for quiet about a warning hears of it when the quiet is over.
  incident.reminder_due = muted(incident, now) ? now.mono : now.mono + kUnanswered;
  if (muted(incident, now)) return;
  send(NoticeKind::Escalated, incident, now);
}

void Book::resolve(const std::string& key, Now now) {
  const auto it = open_.find(key);
  if (it == open_.end()) return;
  Incident incident = std::move(it->second);
  open_.erase(it);
  ++revision_;
  incident.resolved = now.wall;
  incident.lasted_ms = std::max<std::int64_t>(
      0, incident.opened_mono ? span(*incident.opened_mono, now.mono).count()
                              : std::chrono::duration_cast<Millis>(now.wall - incident.opened).count());
  const bool was_muted = muted(incident, now);
  // A resolution is never the flip that mutes: whoever was told of the failure is told of its end.
  if (const auto flaps = flaps_.find(key); flaps != flaps_.end()) flaps->second.flip(now);
  free_explained(key, now);
  if (incident.told)
    close(std::move(incident), now);
  else if (was_muted)
    to_history(std::move(incident));
  else
    brief_.push_back(std::move(incident));
  tell_due(now);
}

void Book::close(Incident incident, Now now) {
  const auto storm = open_.find("storm");
  const bool in_storm = storm != open_.end() && incident.thread == storm->second.id &&
                        std::find(storm->second.members.begin(), storm->second.members.end(),
                                  incident.report.key) != storm->second.members.end();
  if (!in_storm) send(NoticeKind::Resolved, incident, now);
  const std::string key = incident.report.key;
  to_history(std::move(incident));
  if (in_storm) leave_storm(key, now);
}

void Book::to_history(Incident incident) {
  ++revision_;
  history_.push_front(std::move(incident));
  if (history_.size() > kHistory) history_.pop_back();
}

void Book::free_explained(const std::string& cause, Now now) {
  for (auto& [key, i] : open_)
    if (i.report.cause == cause && !i.told) i.not_before = now.mono + kAfterCause;
}

bool Book::explained(const Incident& incident) const {
  return !incident.report.cause.empty() && is_open(incident.report.cause);
}

bool Book::muted(const Incident& incident, Now now) const {
  return explained(incident) || now.mono < incident.not_before || is_silenced(incident.report) ||
         is_flapping(incident.report.key);
}

const Incident* Book::find(const std::string& id) const {
  const Incident* member = nullptr;
  for (const auto& [key, i] : open_) {
    if (i.id == id && key == "storm") return &i;
    if (i.id == id || i.thread == id) member = &i;
  }
  if (member) return member;
  const auto flaps = std::find_if(flaps_.begin(), flaps_.end(), [&](const auto& f) {
    return f.second.flapping && (f.second.first.id == id || f.second.first.thread == id);
  });
  return flaps == flaps_.end() ? nullptr : &flaps->second.first;
}

const Incident* Book::find_past(const std::string& id) const {
  const auto it = std::find_if(history_.begin(), history_.end(),
                               [&](const Incident& i) { return i.id == id || i.thread == id; });
  return it == history_.end() ? nullptr : &*it;
}

void Book::tick(Now now) {
  end_silences(now);
  settle_flaps(now);
  tell_due(now);
  remind(now);
}

// ---- what comes and goes ----

bool Book::is_flapping(const std::string& key) const {
  const auto it = flaps_.find(key);
  return it != flaps_.end() && it->second.flapping;
}

bool Book::begins_flapping(const std::string& key, const Incident& incident, Now now) {
  if (is_silenced(incident.report) || explained(incident)) return is_flapping(key);
  Flaps& f = flaps_[key];
  f.flip(now);
  if (!f.flapping && f.too_many()) {
    f.flapping = true;
    f.failures = 0;
    f.first = incident;
    f.first.opened_mono = now.mono;
    send(NoticeKind::Flapping, incident, now,
         incident.report.where + " fails again and again (" + std::to_string((f.flips.size() + 1) / 2) +
             " times in " + human(span(f.flips.front().mono, now.mono)) +
             "); the next message comes when it has been well, or down, for " + human(Flaps::kWindow));
  }
  if (f.flapping) ++f.failures;
  return f.flapping;
}

/// What flapped has been quiet: well, or down for good.
void Book::settle_flaps(Now now) {
  for (auto it = flaps_.begin(); it != flaps_.end();) {
    Flaps& f = it->second;
    if (!f.quiet(now)) {
      ++it;
      continue;
    }
    const auto open = open_.find(it->first);
    if (f.flapping && open != open_.end()) {
      open->second.thread = f.first.thread;
    } else if (f.flapping) {
      f.first.lasted_ms =
          span(*f.first.opened_mono, f.flips.empty() ? now.mono : f.flips.back().mono).count();
      send(NoticeKind::Resolved, f.first, now,
           f.first.report.where + " has been well for " + human(Flaps::kWindow) + ", after " +
               std::to_string(f.failures) + " more failures");
    }
    it = flaps_.erase(it);
    ++revision_;
  }
}

// ---- what people on duty ask for ----

Result<std::string> Book::acknowledge(const std::string& id, Now now) {
  const Incident* known = find(id);
  if (const Incident* past = known ? nullptr : find_past(id))
    return fail(Code::Rejected, "that is over: " + past->report.title);
  if (!known) return fail(Code::Rejected, "no open incident " + text::shorten(text::one_line(id), 20));
  const Incident told = *known;
  for (auto& [key, i] : open_) {
    if (i.id != id && i.thread != id) continue;
    i.acknowledged = now.wall;
    i.reminder_due = now.mono + kRemindSlowly;
  }
  for (auto& [key, f] : flaps_)
    if (f.flapping && (f.first.id == id || f.first.thread == id)) f.first.acknowledged = now.wall;
  ++revision_;
  if (!told.acknowledged) send(NoticeKind::Acknowledged, told, now);
  return told.report.title;
}

bool Book::is_silenced(const Report& report) const {
  return std::any_of(silences_.begin(), silences_.end(), [&](const Silence& s) { return s.covers(report); });
}

Result<Silence> Book::silence(const std::string& what, Seconds length, Now now) {
  if (length <= Seconds{0} || length > kLongestSilence)
    return fail(Code::Rejected, "a silence lasts from a second to 30 days");
  if (what.empty() || what.size() > kMostWhat || text::one_line(text::sanitize(what)) != what)
    return fail(
        Code::Rejected,
        "silence what? `all`, a process such as claude-1, a component such as claude, or an incident");
  Silence s;
  s.id = events_.fresh_id();
  s.what = what;
  const Incident* incident = find(what);
  if (!incident) incident = find_past(what);
  if (incident) {
    s.what = incident->report.key;
    s.keys = incident->members;
    // Of a storm that is over: what was in it.
    for (const auto& past : history_)
      if (incident->resolved && past.thread == incident->thread && past.report.key != s.what)
        s.keys.push_back(past.report.key);
  }
  s.since = now.wall;
  s.until = now.wall + length;
  s.ends = now.mono + length;
  // Another storm's members are others.
  std::erase_if(silences_, [&](const Silence& old) { return old.what == s.what && old.keys == s.keys; });
  if (silences_.size() >= kMostSilences)
    return fail(Code::Rejected, "there are 100 silences already; end one of them first");
  silences_.push_back(s);
  ++revision_;
  return s;
}

Result<void> Book::unsilence(const std::string& id, Now now) {
  const auto gone = std::erase_if(silences_, [&](const Silence& s) { return s.id == id || s.what == id; });
  if (gone == 0) return fail(Code::Rejected, "no such silence: " + text::shorten(text::one_line(id), 20));
  ++revision_;
  tell_due(now);
  return {};
}

void Book::end_silences(Now now) {
  if (std::erase_if(silences_, [&](const Silence& s) { return now.mono >= s.ends; }) > 0) ++revision_;
}

}  // namespace katana::watchdog
