#include "watchdog/liveness/roster.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

namespace katana::watchdog {
namespace {

constexpr const char* kVanished = "its process is gone";
constexpr int kHangAlarm = 86;  // service::Alarm::kExitStatus

Event event_of(bus::ServiceState state) {
  switch (state) {
    case bus::ServiceState::Starting:
      return Event::BeatStarting;
    case bus::ServiceState::Ready:
      return Event::BeatReady;
    case bus::ServiceState::Draining:
      return Event::BeatDraining;
    case bus::ServiceState::Stopped:
      return Event::Goodbye;
  }
  return Event::BeatStarting;
}

std::string seconds(Millis span) {
  const auto tenths = span.count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

Millis between(Mono from, Mono to) {
  return std::chrono::duration_cast<Millis>(to - from);
}

}  // namespace

std::string describe(const Ending& ending) {
  if (ending.signal == 0 && ending.status == kHangAlarm)
    return "exit status 86: its loop hung, and its own alarm ended it";
  if (ending.signal == 0) return "exit status " + std::to_string(ending.status);
  const char* name = sigabbrev_np(ending.signal);
  return "killed by signal " + std::to_string(ending.signal) + (name ? " (" + std::string(name) + ")" : "");
}

Roster::Roster(Limits limits, std::function<Presence(const bus::Heartbeat&)> look, Mono now)
    : limits_(limits), look_(std::move(look)), due_(now + kTick) {}

Member& Roster::member(const std::string& component, const std::string& instance, Mono now) {
  auto [it, fresh] = members_.try_emplace(instance);
  if (fresh) {
    it->second.component = component;
    it->second.instance = instance;
    it->second.since = it->second.heard = it->second.moved = now;
  }
  return it->second;
}

void Roster::apply(Member& m, Event event, std::string why, Mono now, Changes& out) {
  const State to = next(m.state, event);
  if (to == m.state) return;
  out.push_back({m.component, m.instance, m.state, to, std::move(why), event == Event::Goodbye,
                 event == Event::Silent});
  m.state = to;
  m.since = now;
}

Roster::Changes Roster::beat(bus::Heartbeat beat, Mono now) {
  Changes out;
  if (beat.instance.empty() || (members_.size() >= kMaxMembers && members_.count(beat.instance) == 0))
    return out;
  Member& m = member(beat.component, beat.instance, now);
  if (m.buried != 0 && m.buried == beat.pid) {
    // Its last word may come behind the news of its end.
    if (m.state == State::Down && beat.state == bus::ServiceState::Stopped && beat.last_error.empty())
      m.said_goodbye = true;
    return out;
  }
  const bool another = m.beat && m.beat->process_id != beat.process_id;
  // Overtaken on its way: old news, of itself or of the process that took its place.
  if (m.beat && !another && beat.seq < m.beat->seq) return out;
  if (another && beat.process_id == m.before && between(m.heard, now) < limits_.gone) {
    // Beats that were under way come at once; whoever goes on is alive.
    if (between(m.took_place, now) >= limits_.late) m.namesake = Namesake{beat.host, beat.pid, now};
    return out;
  }
  if (another) {
    m.before = m.beat->process_id;
    m.took_place = now;
  }
  if (another && present(m.state) && !m.child) {
    // Somebody else restarted it faster than silence could tell.
    ++m.restarts;
    apply(m, Event::Exited, "a new process took its place, without a goodbye of the old one", now, out);
  } else if (another && !m.child && !m.said_goodbye) {
    ++m.restarts;
  }
  const bool moves = !m.beat || another || beat.state != m.beat->state || beat.progress != m.beat->progress ||
                     (beat.in_flight == 0 && beat.state != bus::ServiceState::Starting);
  m.component = beat.component;
  m.pid = beat.pid;
  m.heard = now;
  if (moves) m.moved = now;
  if (!beat.metrics.empty()) m.metrics = std::exchange(beat.metrics, {});
  m.beat = std::move(beat);
  const Event event = event_of(m.beat->state);
  if (event == Event::Goodbye && m.state == State::Starting && !m.beat->last_error.empty()) {
    apply(m, Event::Exited, "it can't start", now, out);  // no goodbye in good order
    return out;
  }
  m.said_goodbye = event == Event::Goodbye;
  if (stuck(m, now)) return out;  // its tick will say so, or has said it
  apply(m, event, event == Event::Goodbye ? "it said goodbye" : "heard", now, out);
  return out;
}

Roster::Changes Roster::launched(const std::string& component, const std::string& instance, std::int64_t pid,
                                 Mono now) {
  Changes out;
  Member& m = member(component, instance, now);
  // The restart count is of new processes in an old one's place; an adopted child is neither.
  if (m.child && m.pid != pid) ++m.restarts;
  m.child = true;
  m.pid = pid;
  if (m.buried == pid) m.buried = 0;
  m.said_goodbye = false;
  m.heard = m.moved = now;
  m.beat.reset();
  apply(m, Event::Launched, "launched", now, out);
  return out;
}

Roster::Changes Roster::exited(const std::string& instance, std::int64_t pid, const Ending& ending,
                               Mono now) {
  Changes out;
  const auto it = members_.find(instance);
  if (it == members_.end()) return out;
  Member& m = it->second;
  m.buried = pid;
  apply(m, Event::Exited, describe(ending), now, out);
  // An end in good order, even when it is known before the goodbye was read.
  m.said_goodbye = ending == Ending{};
  for (auto& change : out)
    change.goodbye = m.said_goodbye;
  return out;
}

Roster::Changes Roster::vanished(const std::string& instance, std::int64_t pid, Mono now) {
  Changes out;
  const auto it = members_.find(instance);
  if (it == members_.end()) return out;
  Member& m = it->second;
  if (m.child || m.pid != pid || !(present(m.state) || m.state == State::Hung)) return out;
  m.buried = pid;
  apply(m, Event::Exited, kVanished, now, out);
  return out;
}

bool Roster::stuck(const Member& m, Mono now) const {
  if (!m.beat || between(m.moved, now) < limits_.stuck) return false;
  return m.beat->state == bus::ServiceState::Starting ||
         (m.beat->state == bus::ServiceState::Ready && m.beat->in_flight > 0);
}

void Roster::judge(Member& m, Mono now, Changes& out) {
  const Millis silence = between(m.heard, now);
  if (m.state == State::Hung && !m.child && silence >= limits_.gone && m.beat &&
      look_(*m.beat) == Presence::Unknown)
    apply(m, Event::Silent, "no heartbeat for " + seconds(silence), now, out);  // it did beat while it hung
  if (!present(m.state)) return;
  const Millis first = m.state == State::Starting ? limits_.start : limits_.local;
  const Presence presence = silence < first ? Presence::Unknown
                            : m.child       ? Presence::There
                            : m.beat        ? look_(*m.beat)
                                            : Presence::Unknown;
  const std::string quiet = "no heartbeat for " + seconds(silence);
  if (presence == Presence::There) {
    apply(m, Event::Frozen, quiet + ", and the process is still there", now, out);
  } else if (presence == Presence::Gone) {
    apply(m, Event::Exited, std::string(kVanished) + ", without a goodbye", now, out);
  } else if (silence >= std::max(first, limits_.gone)) {
    apply(m, Event::Silent, quiet, now, out);
  } else if (stuck(m, now)) {
    apply(m, Event::Frozen,
          "no progress for " + seconds(between(m.moved, now)) +
              (m.state == State::Starting ? " of its start"
                                          : " with " + std::to_string(m.beat->in_flight) + " under way"),
          now, out);
  } else if (silence >= limits_.late) {
    apply(m, Event::Quiet, quiet, now, out);
  }
}

/// When its silence, should it last, comes to the next limit.
Mono Roster::next_limit(const Member& m, Mono now) const {
  Mono next = Mono::max();
  if (!present(m.state)) return next;
  for (const Millis limit :
       {m.state == State::Starting ? limits_.start : limits_.late, limits_.local, limits_.gone})
    if (m.heard + limit > now) next = std::min(next, m.heard + limit);
  return next;
}

Roster::Changes Roster::tick(Mono now) {
  Changes out;
  const Millis lag = between(due_, now);
  due_ = now + kTick;
  if (lag >= limits_.own_sleep) {
    // Beats may still wait to be read, and after a frozen machine thaws the others need a moment too:
    // everybody gets a fresh start.
    for (auto& [name, m] : members_)
      if (present(m.state)) m.heard = m.moved = now;
    for (auto& [component, since] : short_since_)
      since = now;
    return out;
  }
  // While we were late nobody could be heard: that is no silence of theirs.
  if (lag >= limits_.own_lag)
    for (auto& [name, m] : members_)
      m.heard = std::min(now, m.heard + lag);
  discarded_ = lag >= limits_.own_lag && !discarded_;
  if (discarded_) {
    due_ = now + kAgain;
    return out;
  }
  for (auto it = members_.begin(); it != members_.end();) {
    Member& m = it->second;
    judge(m, now, out);
    if (m.namesake && between(m.namesake->heard, now) >= limits_.gone) m.namesake.reset();
    due_ = std::min(due_, next_limit(m, now));
    const bool stale = m.state == State::Down && !m.child && now - m.since >= limits_.forget;
    it = stale ? members_.erase(it) : std::next(it);
  }
  return out;
}

int Roster::count_present(const std::string& component) const {
  int n = 0;
  for (const auto& [name, m] : members_)
    if (m.component == component && (present(m.state) || m.state == State::Hung)) ++n;
  return n;
}

std::map<std::string, int> Roster::missing(const std::map<std::string, int>& expect, Mono now) {
  std::map<std::string, int> out;
  for (const auto& [component, wanted] : expect) {
    const int lack = wanted - count_present(component);
    if (lack <= 0) {
      short_since_.erase(component);
      continue;
    }
    const auto [it, fresh] = short_since_.try_emplace(component, now);
    if (now - it->second >= limits_.expected) out[component] = lack;
  }
  return out;
}

const Member* Roster::find(const std::string& instance) const {
  const auto it = members_.find(instance);
  return it == members_.end() ? nullptr : &it->second;
}

}  // namespace katana::watchdog
