#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"

namespace katana::gateway {

/// A worker as the gateway sees it, by its connection.
struct Worker {
  bus::PeerId peer;
  std::string worker_id;
  std::string provider;
  std::string build;
  std::uint32_t window = 0;                      ///< credit: most jobs outstanding
  std::unordered_set<std::int64_t> outstanding;  ///< turns
  Mono last_seen{};
  std::optional<Mono> unreachable_since;  ///< its connection is closed; it may come back with another

  bool congested = false;  ///< its socket takes no more for now; looked at again with the next beat

  [[nodiscard]] std::size_t room() const {
    return congested || unreachable_since || outstanding.size() >= window ? 0 : window - outstanding.size();
  }
};

/// The workers that said hello, their credit and their life. Pure: time is an argument.
class Pool {
 public:
  /// Silence after which a worker is gone, and the same for one whose connection is closed.
  static constexpr Millis kGoneAfter{2'500};
  static constexpr Millis kComeBackWithin{1'000};

  Worker& add(const bus::PeerId& peer, const bus::Hello& hello, Mono now);
  Worker* find(const bus::PeerId& peer);
  Worker* find_by_id(const std::string& worker_id);
  /// The worker of that provider with most room; nullptr when nobody has any.
  Worker* pick(const std::string& provider);
  void remove(const bus::PeerId& peer) { workers_.erase(peer); }
  /// Connections of workers that are gone at `now`.
  [[nodiscard]] std::vector<bus::PeerId> gone(Mono now) const;

  [[nodiscard]] int count(const std::string& provider) const;
  [[nodiscard]] const std::unordered_map<bus::PeerId, Worker>& all() const { return workers_; }
  std::unordered_map<bus::PeerId, Worker>& all() { return workers_; }

 private:
  std::unordered_map<bus::PeerId, Worker> workers_;
};

}  // namespace katana::gateway
