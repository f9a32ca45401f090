#pragma once

#include "common/core/clock.hpp"

namespace katana::service {

/// The last guard against a loop that hangs, for where nobody else would notice (Docker leaves a hung
/// container alone): `rearm` is called by the loop each second; without it the process ends itself with
/// status 86 after 20 s.
///
/// A handler and not SIGALRM's default action, because the kernel ignores default actions for PID 1. It ends
/// the process at the second expiry and not at the first, because a process that was merely stopped for a
/// while (SIGSTOP, a suspended machine) finds its alarm expired when it goes on, and must get the chance to
/// re-arm it.
class HangAlarm {
 public:
  static constexpr int kExitStatus = 86;
  static constexpr Millis kInterval{10'000};  ///< to each of the two expiries

  explicit HangAlarm(Millis interval = kInterval);
  ~HangAlarm();
  HangAlarm(const HangAlarm&) = delete;
  HangAlarm& operator=(const HangAlarm&) = delete;
  void rearm() const;
};

}  // namespace katana::service
