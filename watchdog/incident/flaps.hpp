#pragma once

#include <deque>

#include "watchdog/incident/incident.hpp"

namespace katana::watchdog {

/// How often one key came and went of late. Pure.
struct Flaps {
  static constexpr int kMost = 4;  ///< more flips (down, up, down …) than these within kWindow is flapping
  static constexpr Seconds kWindow{600};

  std::deque<Now> flips{};
  bool flapping = false;
  int failures = 0;  ///< since the flapping began
  Incident first{};  ///< whose thread the digest continues; set while flapping

  void flip(Now now) {
    flips.push_back(now);
    while (now.mono - flips.front().mono > kWindow)
      flips.pop_front();
  }
  [[nodiscard]] bool too_many() const { return static_cast<int>(flips.size()) > kMost; }
  [[nodiscard]] bool quiet(Now now) const { return flips.empty() || now.mono - flips.back().mono >= kWindow; }
};

}  // namespace katana::watchdog
