#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"

namespace katana::gateway {

/// The watchdogs that said hello at the job bus: who watches the watchdog. No job is ever theirs, and they
/// count as no worker. Says once that nobody watches any more, and once that somebody does again; one that is
/// replaced soon enough is worth no word. A deployment that never had one is told nothing. Pure: time is an
/// argument.
class Watchers {
 public:
  /// Silence after which one is gone.
  static constexpr Millis kGoneAfter{3'000};
  /// One that said goodbye, or should come to a gateway that has just started, may stay away for so long.
  static constexpr Millis kGoodbyeFor{60'000};
  /// A tick this much later than the one before judges nobody: words may still wait in the socket.
  static constexpr Millis kLateTick{1'500};

  struct News {
    bool gone = false;     ///< nobody watches; else somebody does again
    Millis lasted{0};      ///< since the last word of the last one
    bool goodbye = false;  ///< it left in good order
  };

  explicit Watchers(Mono now) : last_tick_(now) {}

  /// An earlier process of ours told that nobody watches, since then: its end is ours to tell.
  void resume(Mono absent_since) {
    absent_since_ = absent_since;
    told_ = true;
  }

  /// An earlier process of ours knew one.
  void expect(Mono now) {
    absent_since_ = now;
    patience_ = kGoodbyeFor;
  }

  /// True if the message came from a watchdog: then it is nobody else's business. `Hello` wants a `Welcome`.
  bool take(const bus::PeerId& peer, const bus::Message& message, Mono now);
  /// Every 500 ms, after the socket was drained.
  std::optional<News> tick(Mono now);

  [[nodiscard]] bool present() const { return !peers_.empty(); }

 private:
  struct Watcher {
    std::string id;
    Mono heard{};
  };
  void left(Mono when, bool goodbye);

  std::map<bus::PeerId, Watcher> peers_;
  Mono last_tick_;
  std::optional<Mono> absent_since_;  ///< unset: one is here, or none ever was
  bool goodbye_ = false;              ///< the last one's
  Millis patience_{kGoneAfter};       ///< of that absence
  bool told_ = false;
};

}  // namespace katana::gateway
