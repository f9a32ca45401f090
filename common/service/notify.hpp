#pragma once

#include <string>
#include <string_view>

#include "common/core/clock.hpp"

namespace katana::service {

/// What we tell systemd, as datagrams to $NOTIFY_SOCKET (the protocol of sd_notify(3); that library isn't
/// needed for it). Without that variable nothing is sent. Never blocks.
class Notify {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  Notify();
  ~Notify();
  Notify(const Notify&) = delete;
  Notify& operator=(const Notify&) = delete;

  /// `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `EXTEND_TIMEOUT_USEC=N`.
  void tell(std::string_view state) const;
  /// How often WATCHDOG=1 is due (a third of WatchdogSec, so that one lost beat does no harm); zero: not
  /// wanted.
  [[nodiscard]] Millis watchdog_period() const { return watchdog_period_; }

 private:
  int fd_ = -1;
  std::string path_;
  Millis watchdog_period_{0};
};

}  // namespace katana::service
