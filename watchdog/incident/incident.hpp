#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/core/clock.hpp"
#include "watchdog/incident/notice.hpp"

namespace katana::watchdog {

struct Now {
  Mono mono{};
  Wall wall{};
};

/// What is wrong, as the judge words it. `key` is what makes two reports the same incident. No user's words.
struct Report {
  std::string key;
  Severity severity = Severity::Warning;
  std::string component;
  std::string where;
  std::string title;
  std::string effect{};
  std::string last_error{};
  int restarts = 0;
  std::string host{};     ///< where it is; empty: where the watchdog is
  std::string except{};   ///< see Notice::except
  std::string process{};  ///< the instance that a restart might mend; empty: none
  std::string cause{};    ///< key of an incident that explains this one: while that is open, nobody is told
};

/// An incident, open or past. People know it by its thread: its own id, or that of the storm it came in.
struct Incident {
  std::string id;
  Report report;
  Wall opened{};
  std::optional<Wall> resolved{};
  std::int64_t lasted_ms = 0;
  std::optional<Mono> opened_mono{};  ///< unset when an earlier process of ours opened it

  bool told = false;
  std::string thread{};
  std::optional<Wall> acknowledged{};
  Mono not_before{};                   ///< not told earlier: what explained it is just over
  std::optional<Mono> reminder_due{};  ///< unset: nobody is reminded
  int reminders = 0;
  std::vector<std::string> members{};  ///< a storm's: the keys of those that are still open
};

/// Somebody asked for quiet about something, until then.
struct Silence {
  std::string id;
  std::string what;  ///< `all`, an instance or channel, a component, a key, or `storm`
  Wall since{};
  Wall until{};
  Mono ends{};                      ///< the same end on the clock that does not jump
  std::vector<std::string> keys{};  ///< of a storm: exactly these
  [[nodiscard]] bool covers(const Report& report) const {
    return what == "all" || what == report.where || what == report.component || what == report.key ||
           std::find(keys.begin(), keys.end(), report.key) != keys.end();
  }
};

}  // namespace katana::watchdog
