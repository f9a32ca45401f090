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

/// The waits behind the verdicts. Beats come every 500 ms, ticks every kTick or when somebody's silence comes
/// to a limit.
struct Limits {
  Millis late{1'250};  ///< two beats missed
  /// Of a process on this machine, which is certainly there or certainly gone: a stall of a second, a beat's
  /// wait and some air.
  Millis local{1'750};
  Millis gone{2'700};    ///< of others: five missed, and time for the network
  Millis start{30'000};  ///< without a beat while it starts: what it waits for there may block it
  Millis stuck{
      180'000};  ///< starting, or work under way, and no progress: longer than any provider's own limit
  Millis own_lag{100};      ///< a tick this late may come before beats that wait to be read
  Millis own_sleep{1'000};  ///< a tick this late proves that *we* were asleep, and perhaps the machine
  Seconds expected{60};     ///< how long an expected component may be absent
  Seconds forget{3'600};    ///< a process nobody expects is dropped from the list after this
};

/// How a process that we supervise ended.
struct Ending {
  int status = 0;
  int signal = 0;  ///< 0: it ended by itself with `status`
  friend bool operator==(const Ending&, const Ending&) = default;
};
/// `exit status 1`, or `killed by signal 9 (KILL)`.
std::string describe(const Ending& ending);

/// What the kernel knows of the process behind a heartbeat.
enum class Presence {
  Unknown,  ///< it runs elsewhere
  There,
  Gone,
};

/// Another living process that calls itself by the same name. What it says counts for nothing else.
struct Namesake {
  std::string host;
  std::int64_t pid = 0;
  Mono heard{};
};

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
  std::optional<Namesake> namesake;
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
  bool silent = false;  ///< nothing is known but that nothing is heard
};

/// All processes and their states: the liveness table applied to beats, ticks and exits. Pure: time and the
/// question whether a process exists come in from outside. Each call returns what changed. At most
/// kMaxMembers.
class Roster {
 public:
  static constexpr std::size_t kMaxMembers = 1000;
  using Changes = std::vector<Change>;
  static constexpr Millis kTick{500};
  static constexpr Millis kAgain{200};  ///< a tick whose verdicts were discarded is repeated after this
  /// `look` asks the kernel whether the process of a beat is there.
  Roster(Limits limits, std::function<Presence(const bus::Heartbeat&)> look, Mono now);

  Changes beat(bus::Heartbeat beat, Mono now);
  Changes launched(const std::string& component, const std::string& instance, std::int64_t pid, Mono now);
  Changes exited(const std::string& instance, std::int64_t pid, const Ending& ending, Mono now);
  /// The kernel says that the process of its last beat is gone; how it ended, nobody here knows.
  Changes vanished(const std::string& instance, std::int64_t pid, Mono now);
  /// Judges silence. Returns nothing when this tick itself came late: what was not heard may still wait to be
  /// read. But if every tick is late, every other one judges.
  Changes tick(Mono now);
  /// When the next tick is to come, at the latest.
  [[nodiscard]] Mono due() const { return due_; }

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
  [[nodiscard]] Mono next_limit(const Member& m, Mono now) const;

  Limits limits_;
  std::function<Presence(const bus::Heartbeat&)> look_;
  Mono due_;
  bool discarded_ = false;  ///< the last tick's verdicts
  std::map<std::string, Member> members_;
  std::map<std::string, Mono> short_since_;
};

}  // namespace katana::watchdog
