#include "watchdog/incident/judge.hpp"

#include <algorithm>

#include "common/core/text.hpp"
#include "watchdog/incident/words.hpp"

namespace katana::watchdog {
namespace {

std::string setting_key(const std::string& instance) {
  return "setting:" + instance;
}
std::string health_key(const std::string& instance) {
  return "health:" + instance;
}
constexpr std::string_view kLoop = "crash-loop:";
std::string loop_key(const std::string& instance) {
  return std::string(kLoop) + instance;
}
constexpr std::string_view kHost = "host:";
std::string host_key(const std::string& host) {
  return std::string(kHost) + host;
}
constexpr std::string_view kLetters = "dead-letters:";
std::string letters_key(const std::string& instance) {
  return std::string(kLetters) + instance;
}
constexpr std::string_view kNamesake = "namesake:";
std::string expect_key(const std::string& component) {
  return "expect:" + component;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names)
    out += (out.empty() ? "" : ", ") + name;
  return out;
}

Severity severity_of(const std::string& component) {
  return component == "watchdog" ? Severity::Warning : Severity::Critical;
}

}  // namespace

std::string effect_of(const std::string& component) {
  if (component == "gateway")
    return "nobody gets an answer; messages wait at Telegram and are answered once it is back";
  if (component == "claude" || component == "openai")
    return "answers of this provider wait, or come from another worker; none is lost";
  if (component == "watchdog") return "none; nobody was watching in between";
  return "";
}

std::string load_of(const Roster& roster) {
  std::uint64_t waiting = 0, oldest = 0;
  for (const auto& [name, m] : roster.members()) {
    if (m.component != "gateway" || !m.beat) continue;
    waiting += m.beat->open_questions;
    oldest = std::max(oldest, m.beat->oldest_wait_ms);
  }
  if (waiting == 0) return {};
  return std::to_string(waiting) + (waiting == 1 ? " message waits" : " messages wait") +
         (oldest == 0 ? "" : ", the oldest for " + human(Millis{static_cast<std::int64_t>(oldest)}));
}

bool Judge::wanted(const Change& change) const {
  const Member* m = roster_.find(change.instance);
  if (m && m->child) return true;
  if (expect_.empty()) return true;
  const auto it = expect_.find(change.component);
  // Instances beyond what is expected come and go freely. The instance itself may be back already: somebody
  // restarted it faster than its silence could tell.
  const bool counted = m && (present(m->state) || m->state == State::Hung);
  const int itself = counted && m->component == change.component ? 1 : 0;
  return it != expect_.end() && roster_.count_present(change.component) - itself < it->second;
}

void Judge::changed(const Change& change, Now now) {
  // Another process, another chance to become healthy.
  if (change.to == State::Down || change.to == State::Starting) unhealthy_since_.erase(change.instance);
  switch (change.to) {
    case State::Hung:
    case State::Down:
      down(change, now);
      break;
    case State::Up:
      if (const Member* m = roster_.find(change.instance); m && m->beat)
        book_.resolve(host_key(m->beat->host), now);
      book_.resolve(setting_key(change.instance), now);
      book_.resolve(process_key(change.instance), now);
      break;
    default:
      break;
  }
}

void Judge::down(const Change& change, Now now) {
  const std::string key = process_key(change.instance);
  if (change.goodbye && !book_.is_open(key)) return;  // in good order; `missing` tells if it stays away
  if (!book_.is_open(key) && !wanted(change)) return;
  // Told of with the reason already; or hung and now killed, which is our own doing.
  if (book_.is_open(setting_key(change.instance))) return;
  if (change.from == State::Hung && book_.is_open(key)) return;
  const Member* m = roster_.find(change.instance);
  if (m && change.silent) host_gone(*m, now);
  Report report;
  report.key = key;
  report.cause = cause_of(m);
  report.process = change.instance;
  report.severity = severity_of(change.component);
  report.component = change.component;
  report.where = change.instance;
  report.title = change.instance + (change.to == State::Hung ? " hangs: " : " is down: ") + change.why;
  report.effect = effect_of(change.component);
  if (m) {
    report.restarts = m->restarts;
    if (m->beat) report.last_error = line_of(m->beat->last_error);
    if (m->beat) report.host = m->beat->host;
  }
  book_.open(std::move(report), now);
}

/// What else explains that a process is down, should it be open.
std::string Judge::cause_of(const Member* m) const {
  if (!m) return {};
  if (m->child) return loop_key(m->instance);
  return m->beat && m->beat->host != host_ ? host_key(m->beat->host) : std::string();
}

/// If nothing at all is heard from another host any more, that is the incident, and its processes aren't.
void Judge::host_gone(const Member& member, Now now) {
  if (!member.beat || member.beat->host == host_ || member.beat->host.empty()) return;
  std::vector<std::string> names;
  std::set<std::string> effects;
  for (const auto& [name, m] : roster_.members()) {
    if (!m.beat || m.beat->host != member.beat->host || m.said_goodbye) continue;
    const bool quiet = m.state == State::Late || m.state == State::Down;
    if (!quiet) return;
    names.push_back(name);
    effects.insert(effect_of(m.component));
  }
  if (names.size() < 2) return;
  Report report;
  report.key = host_key(member.beat->host);
  report.severity = Severity::Critical;
  report.component = "host";
  report.where = report.host = member.beat->host;
  report.title =
      "host " + line_of(member.beat->host) + " is gone: nothing is heard from " +
      text::shorten(names.size() <= 5 ? list_of(names) : "its " + std::to_string(names.size()) + " processes",
                    kForeignLine);
  for (const auto& effect : effects)
    report.effect += (report.effect.empty() ? "" : "; ") + effect;
  book_.open(std::move(report), now);
}

void Judge::restarting(const std::string& component, const std::string& instance, const std::string& how,
                       Now now) {
  auto& ends = ends_[instance];
  ends.push_back(now.mono);
  while (now.mono - ends.front() > kLoopWindow)
    ends.pop_front();
  if (ends.size() <= kLoopEnds || book_.is_flapping(process_key(instance))) return;
  Report report;
  report.key = loop_key(instance);
  report.severity = severity_of(component);
  report.component = component;
  report.where = report.process = instance;
  report.title = instance + " is in a crash loop: " + std::to_string(ends.size()) + " ends in " +
                 human(std::chrono::duration_cast<Millis>(now.mono - ends.front())) + ", the last: " + how +
                 "; it is tried again and again, every 30 s at most";
  report.effect = effect_of(component);
  if (const Member* m = roster_.find(instance)) report.restarts = m->restarts;
  book_.open(std::move(report), now);
}

/// A crash loop is over when the process has lived through its window. The incident may be an earlier
/// watchdog's, which knew of ends that we don't.
void Judge::calm_loops(Now now) {
  const auto calm = [&](const std::string& instance) {
    const Member* m = roster_.find(instance);
    return m ? m->state == State::Up && now.mono - m->since >= kLoopWindow : settled(now);
  };
  resolve_if(kLoop, now, [&](const Incident& i) { return calm(i.report.where); });
  std::erase_if(ends_, [&](const auto& e) { return calm(e.first); });
}

/// Two living processes by one name: the same unit started on two machines, or under two supervisors.
void Judge::namesakes(Now now) {
  const auto place = [this](const std::string& host, std::int64_t pid) {
    return "pid " + std::to_string(pid) + (host == host_ ? "" : " on " + line_of(host));
  };
  for (const auto& [name, m] : roster_.members()) {
    if (!m.namesake || !m.beat) continue;
    Report report;
    report.key = std::string(kNamesake) + name;
    report.component = m.component;
    report.where = name;
    report.host = m.beat->host;
    report.title = "two processes call themselves " + name + ": " + place(m.beat->host, m.pid) + " and " +
                   place(m.namesake->host, m.namesake->pid) + "; end one, or give it its own KATANA_INSTANCE";
    report.effect = "none; but of the second one nothing is watched";
    book_.open(std::move(report), now);
  }
  if (!settled(now)) return;
  resolve_if(kNamesake, now, [&](const Incident& i) {
    const Member* m = roster_.find(i.report.where);
    return !m || !m->namesake;
  });
}

void Judge::beat(const bus::Heartbeat& beat, Now now) {
  if (beat.state != bus::ServiceState::Ready) return;
  dead_letters(beat, now);
  if (beat.healthy) {
    unhealthy_since_.erase(beat.instance);
    book_.resolve(health_key(beat.instance), now);
    return;
  }
  const auto [it, fresh] = unhealthy_since_.try_emplace(beat.instance, now.mono);
  if (now.mono - it->second < kUnhealthy) return;
  Report report;
  report.key = health_key(beat.instance);
  report.severity = severity_of(beat.component);
  report.component = beat.component;
  report.where = beat.instance;
  report.title = beat.instance + " is unhealthy: " +
                 (beat.unhealthy_reason.empty() ? "it gives no reason" : line_of(beat.unhealthy_reason));
  report.effect =
      beat.component == "gateway" ? "messages may wait without an answer" : effect_of(beat.component);
  report.last_error = line_of(beat.last_error);
  book_.open(std::move(report), now);
}

void Judge::dead_letters(const bus::Heartbeat& beat, Now now) {
  const std::string key = letters_key(beat.instance);
  if (beat.dead_letters == 0) return book_.resolve(key, now);
  Report report;
  report.key = key;
  report.severity = Severity::Warning;
  report.component = beat.component;
  report.where = beat.instance;
  report.title = beat.instance +
                 ": questions that two workers died under wait in the dead letters; look at "
                 "katana dead-letters";
  report.effect = "their askers were told that it failed; nobody else waits";
  book_.open(std::move(report), now);
}

/// About a process that nobody waits for any more: others took its place, or its component is no longer
/// expected (it may be an earlier run's incident, and the settings have changed).
bool Judge::moot(const Report& report) const {
  const auto about = [&](const char* kind) { return report.key.starts_with(kind); };
  const bool process = about("process:") || about("setting:") || about("health:") || about("crash-loop:");
  if ((!process && !about("expect:")) || expect_.empty() || report.component == "watchdog" ||
      report.component == "up")
    return false;
  const Member* m = process ? roster_.find(report.where) : nullptr;
  if (m && (m->child || m->state != State::Down)) return false;
  const auto it = expect_.find(report.component);
  if (it == expect_.end()) return true;
  return process && roster_.count_present(it->first) >= it->second;
}

void Judge::tick(const std::map<std::string, int>& lacking, Now now) {
  if (!first_tick_) first_tick_ = now.mono;
  missing(lacking, now);
  calm_loops(now);
  namesakes(now);
  resolve_if("", now, [&](const Incident& i) { return moot(i.report); });
  // Of its processes none is missed any more.
  resolve_if(kHost, now, [&](const Incident& host) {
    return std::none_of(book_.open_incidents().begin(), book_.open_incidents().end(),
                        [&](const auto& i) { return i.second.report.cause == host.report.key; });
  });
  // Its gateway has another name now, and tells of the letters itself.
  if (settled(now))
    resolve_if(kLetters, now, [&](const Incident& i) { return roster_.find(i.report.where) == nullptr; });
}

/// After a minute whoever lives has been heard: the open incidents may be an earlier watchdog's.
bool Judge::settled(Now now) const {
  return first_tick_ && now.mono - *first_tick_ >= kSettle;
}

/// Ends the open incidents of that kind (by their key's beginning) of which `over` is true.
template <class Over>
void Judge::resolve_if(std::string_view kind, Now now, Over over) {
  std::vector<std::string> keys;
  for (const auto& [key, incident] : book_.open_incidents())
    if (key.starts_with(kind) && over(incident)) keys.push_back(key);
  for (const std::string& key : keys)
    book_.resolve(key, now);
}

/// How many processes that are gone have an incident of their own, whether or not the roster still knows
/// them.
int Judge::told_by_name(const std::string& component) const {
  std::set<std::string> gone;
  for (const auto& [key, incident] : book_.open_incidents()) {
    const Report& report = incident.report;
    if (report.component != component ||
        (key != process_key(report.where) && key != setting_key(report.where)))
      continue;
    const Member* m = roster_.find(report.where);
    if (!m || m->state == State::Down) gone.insert(report.where);
  }
  return static_cast<int>(gone.size());
}

void Judge::missing(const std::map<std::string, int>& missing, Now now) {
  for (const auto& [component, wanted_count] : expect_) {
    const std::string key = expect_key(component);
    const auto it = missing.find(component);
    // Short, but not for long enough yet: nothing opens, and nothing that an earlier process opened is over.
    if (it == missing.end() && roster_.count_present(component) < wanted_count) continue;
    int lack = it == missing.end() ? 0 : it->second;
    lack -= told_by_name(component);
    if (lack <= 0) {
      book_.resolve(key, now);
      continue;
    }
    book_.open({key, severity_of(component), component, component,
                std::to_string(lack) + " of " + std::to_string(wanted_count) + " expected " + component +
                    " processes missing for " + human(roster_.limits().expected),
                effect_of(component)},
               now);
  }
}

void Judge::refused(const std::string& component, const std::string& instance, const std::string& line,
                    Now now) {
  // An incident of its own: whoever was told that it is down must hear that it will stay so.
  book_.open({setting_key(instance), Severity::Critical, component, instance,
              instance + " does not start, a setting is wrong: " + line_of(line), effect_of(component)},
             now);
}

void Judge::off(const std::string& instance, Now now) {
  book_.resolve(setting_key(instance), now);
  book_.resolve(process_key(instance), now);
  book_.resolve(loop_key(instance), now);
  book_.resolve(health_key(instance), now);
}

}  // namespace katana::watchdog
