#pragma once

#include <cstdint>

#include "common/core/clock.hpp"

namespace katana {

/// Exponential back-off with jitter: waits of base, 2·base, 4·base … up to `cap`, each shortened by a random
/// part of at most a quarter, so that many clients don't return at the same moment. Pure; `random` is the
/// caller's (see `random_u64`).
class Backoff {
 public:
  Backoff(Millis base, Millis cap) : base_(base), cap_(cap) {}

  /// The wait before the next try, and one step further.
  Millis next(std::uint64_t random);
  void reset() { tries_ = 0; }
  [[nodiscard]] int tries() const { return tries_; }

 private:
  Millis base_;
  Millis cap_;
  int tries_ = 0;
};

}  // namespace katana
