#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/clock.hpp"
#include "watchdog/liveness/state.hpp"

namespace katana::watchdog {

/// The waits behind the verdicts. Beats come every 500 ms.
struct Limits {
  Millis late{1'500};    ///< three beats missed
  Millis gone{3'000};    ///< six: the same limit by which gateway and workers give each other up
  Millis start{30'000};  ///< without a beat while it starts: what it waits for there may block it
  Millis stuck{
      180'000};  ///< starting, or work under way, and no progress: longer than any provider's own limit
  Millis own_lag{1'000};  ///< a tick later than this proves that *we* were asleep
  Seconds expected{60};   ///< how long an expected component may be absent
  Seconds forget{3'600};  ///< a process nobody expects is dropped from the list after this
};

/// How a process that we supervise ended.
struct Ending {
  int status = 0;
  int signal = 0;  ///< 0: it ended by itself with `status`
  friend bool operator==(const Ending&, const Ending&) = default;
};
/// `exit status 1`, or `killed by signal 9 (KILL)`.
std::string describe(const Ending& ending);

/// One process as the watchdog knows it.
struct Member {
  std::string component;
  std::string instance;
  State state = State::Unknown;
  Mono since{};               ///< when it entered `state`
  Mono heard{};               ///< last beat, launch, or the end of our own sleep
  Mono moved{};               ///< last sign of progress, or last time it was ready with nothing under way
  bool child = false;         ///< supervised: its exits are reported to us
  bool said_goodbye = false;  ///< Down in good order
  std::string before;         ///< process id of the one whose place it took
  Mono took_place{};
  std::int64_t pid = 0;
  std::int64_t buried =
      0;  ///< a pid whose exit was reported: beats of it that were still under way don't count
  int restarts = 0;
  std::string metrics;                 ///< the last Prometheus text that it sent
  std::optional<bus::Heartbeat> beat;  ///< the last one, without metrics
};

/// A step of a member from one state to another, and why, in words for people.
struct Change {
  std::string component;
  std::string instance;
  State from = State::Unknown;
  State to = State::Unknown;
  std::string why;
  bool goodbye = false;
};

/// All processes and their states: the liveness table applied to beats, ticks and exits. Pure: time and the
/// question whether a process exists come in from outside. Each call returns what changed. At most
/// kMaxMembers.
class Roster {
 public:
  static constexpr std::size_t kMaxMembers = 1000;
  using Changes = std::vector<Change>;
  /// `exists` tells whether the process of a beat is certainly alive on this host (false: gone, or not to be
  /// known).
  Roster(Limits limits, std::function<bool(const bus::Heartbeat&)> exists, Mono now);

  Changes beat(bus::Heartbeat beat, Mono now);
  Changes launched(const std::string& component, const std::string& instance, std::int64_t pid, Mono now);
  Changes exited(const std::string& instance, std::int64_t pid, const Ending& ending, Mono now);
  /// Judges silence. Returns nothing when this tick itself came late: what was not heard may still wait to be
  /// read.
  Changes tick(Mono now);

  /// Components that were short of `expect` for Limits::expected: name -> how many are missing.
  std::map<std::string, int> missing(const std::map<std::string, int>& expect, Mono now);
  [[nodiscard]] int count_present(const std::string& component) const;
  [[nodiscard]] const Member* find(const std::string& instance) const;
  [[nodiscard]] const std::map<std::string, Member>& members() const { return members_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  Member& member(const std::string& component, const std::string& instance, Mono now);
  void apply(Member& m, Event event, std::string why, Mono now, Changes& out);
  void judge(Member& m, Mono now, Changes& out);
  [[nodiscard]] bool stuck(const Member& m, Mono now) const;

  Limits limits_;
  std::function<bool(const bus::Heartbeat&)> exists_;
  Mono last_tick_;
  std::map<std::string, Member> members_;
  std::map<std::string, Mono> short_since_;
};

}  // namespace katana::watchdog
