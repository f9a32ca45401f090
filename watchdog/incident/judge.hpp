#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "watchdog/incident/book.hpp"
#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

/// Decides which of the things that happen are incidents, and words them. Owned by the watchdog; pure, like
/// the roster and the book that it stands between. Loop thread only.
class Judge {
 public:
  /// How long a process may call itself unhealthy before somebody is told.
  static constexpr Millis kUnhealthy{3'000};
  /// More ends than these within kLoopWindow are a crash loop; it is over when the process has lived for as
  /// long.
  static constexpr std::size_t kLoopEnds = 5;
  static constexpr Seconds kLoopWindow{60};
  /// After our own start: then whoever lives has been heard.
  static constexpr Seconds kSettle{60};

  static constexpr const char* kOpsChat = "ops-chat";  ///< key of its incident
  static constexpr const char* kDeadMan = "dead-man";  ///< the same

  /// `host`: ours.
  Judge(Book& book, const Roster& roster, std::map<std::string, int> expect, std::string host)
      : book_(book), roster_(roster), expect_(std::move(expect)), host_(std::move(host)) {}

  void changed(const Change& change, Now now);
  void beat(const bus::Heartbeat& beat, Now now);
  /// `missing` is the roster's verdict on KATANA_EXPECT.
  void tick(const std::map<std::string, int>& missing, Now now);
  /// A supervised process ended and is started again; `how` as in `describe`.
  void restarting(const std::string& component, const std::string& instance, const std::string& how, Now now);
  /// A supervised process ended with status 2: nobody restarts it. `line` is what it said.
  void refused(const std::string& component, const std::string& instance, const std::string& line, Now now);
  /// It ended because there is nothing for it to do (its provider is off).
  void off(const std::string& instance, Now now);
  /// Our own former process died that long ago; `how` as in `describe`. Resolved by `serving`.
  void replaced(const std::string& how, Millis ago, Now now);
  /// `katana up` itself is gone, and with it everything. `serving` is its end.
  void parent_died(Now now);
  void serving(Now now);
  void channel_failed(const std::string& channel, const Error& error, Now now);
  /// The alert bot can't be asked for what people on duty want of it.
  void ops_chat_failed(const Error& error, Now now);
  void ops_chat_works(Now now);
  void dead_man_failed(const Error& error, Now now);
  void dead_man_works(Now now);
  void channel_works(const std::string& channel, Now now);

 private:
  void dead_letters(const bus::Heartbeat& beat, Now now);
  void down(const Change& change, Now now);
  void host_gone(const Member& member, Now now);
  void missing(const std::map<std::string, int>& missing, Now now);
  void calm_loops(Now now);
  [[nodiscard]] bool settled(Now now) const;
  template <class Over>
  void resolve_if(std::string_view kind, Now now, Over over);
  [[nodiscard]] int told_by_name(const std::string& component) const;
  void namesakes(Now now);
  [[nodiscard]] std::string cause_of(const Member* member) const;
  [[nodiscard]] bool wanted(const Change& change) const;
  [[nodiscard]] bool moot(const Report& report) const;

  Book& book_;
  const Roster& roster_;
  std::map<std::string, int> expect_;
  std::string host_;
  std::optional<Mono> first_tick_;
  std::optional<Code> ops_chat_error_;
  std::map<std::string, Mono> unhealthy_since_;
  std::map<std::string, std::deque<Mono>> ends_;  ///< of supervised processes, of late
};

/// What users feel while a process of that component is missing.
std::string effect_of(const std::string& component);
/// What users feel right now, by the gateways' last heartbeats: `12 messages wait, the oldest for 40 s`;
/// empty if none waits.
std::string load_of(const Roster& roster);

}  // namespace katana::watchdog
