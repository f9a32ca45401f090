#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace katana {

using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

/// Monotonic time: for waits, deadlines and durations. Means nothing after a restart; never stored.
using Mono = std::chrono::steady_clock::time_point;
/// Wall time: for people, logs and the store. Can jump; never used to measure a wait.
using Wall = std::chrono::system_clock::time_point;

inline std::int64_t to_unix(Wall t) {
  return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}
inline std::int64_t to_unix_ms(Wall t) {
  return std::chrono::duration_cast<Millis>(t.time_since_epoch()).count();
}

/// Our clocks count nanoseconds, which end in the year 2262; times from outside needn't. Beyond 2255 (and as
/// far back) these stop there.
inline constexpr std::int64_t kFarthestUnix = 9'000'000'000;
inline Wall from_unix(std::int64_t seconds) {
  return Wall{Seconds{std::clamp(seconds, -kFarthestUnix, kFarthestUnix)}};
}
inline Wall from_unix_ms(std::int64_t ms) {
  return Wall{Millis{std::clamp(ms, -kFarthestUnix * 1000, kFarthestUnix * 1000)}};
}

/// The only place where time is read. Domain code takes `now` as an argument; adapters and wiring hold a
/// Clock.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Mono mono() const = 0;
  [[nodiscard]] virtual Wall wall() const = 0;
};

/// The machine's clocks. Safe from any thread.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Mono mono() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] Wall wall() const override { return std::chrono::system_clock::now(); }
};

/// A clock that tests move by hand. One thread only.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Mono mono() const override { return mono_; }
  [[nodiscard]] Wall wall() const override { return wall_; }
  void advance(Millis by) {
    mono_ += by;
    wall_ += by;
  }
  /// Moves the wall clock alone, as an operator or NTP would.
  void jump_wall(Millis by) { wall_ += by; }

 private:
  Mono mono_{std::chrono::hours{1}};
  Wall wall_{from_unix(1'790'000'000)};
};

}  // namespace katana
