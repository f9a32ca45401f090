#pragma once

#include <map>
#include <string>

#include "watchdog/incident/book.hpp"
#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

/// Decides which of the things that happen are incidents, and words them. Owned by the watchdog; pure, like
/// the roster and the book that it stands between. Loop thread only.
class Judge {
 public:
  /// How long a process may call itself unhealthy before somebody is told.
  static constexpr Millis kUnhealthy{3'000};

  Judge(Book& book, const Roster& roster, std::map<std::string, int> expect)
      : book_(book), roster_(roster), expect_(std::move(expect)) {}

  void changed(const Change& change, Now now);
  void beat(const bus::Heartbeat& beat, Now now);
  /// `missing` is the roster's verdict on KATANA_EXPECT.
  void tick(const std::map<std::string, int>& missing, Now now);
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
  void channel_works(const std::string& channel, Now now);

 private:
  void dead_letters(const bus::Heartbeat& beat, Now now);
  void down(const Change& change, Now now);
  [[nodiscard]] bool wanted(const Change& change) const;
  [[nodiscard]] bool moot(const Report& report) const;

  Book& book_;
  const Roster& roster_;
  std::map<std::string, int> expect_;
  std::map<std::string, Mono> unhealthy_since_;
};

/// What users feel while a process of that component is missing.
std::string effect_of(const std::string& component);

}  // namespace katana::watchdog
