#pragma once

#include <cstdint>

#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"

namespace katana::watchdog {

/// When a dead process is started again: at once, then after 1, 2, 4 … 30 s (a little less by jitter); from
/// the beginning again once it has lived for 60 s. Pure. Used by the supervisor for the others, and by the
/// parent for the watchdog.
class Restart {
 public:
  static constexpr Seconds kHealthy{60};

  /// It ended after having lived for `lived`: the wait before the next start.
  Millis next(Millis lived, std::uint64_t random) {
    if (lived >= kHealthy) failures_ = 0;
    if (failures_ == 0) backoff_.reset();
    return failures_++ == 0 ? Millis{0} : backoff_.next(random);
  }

 private:
  int failures_ = 0;
  Backoff backoff_{Millis{1'000}, Millis{30'000}};
};

}  // namespace katana::watchdog
