#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"

namespace katana::watchdog {

/// The watchdog's own sign of life at the job bus of each gateway, which tells the bot's admins when it ends.
/// Speaks as a worker does (proto/README.md, rule 1), with nothing in hand and no credit. Pure but for the
/// ports it sends through. Owned by the watchdog, which calls `beat` every kBeat; loop thread only.
class BusPresence {
 public:
  /// The gateway answers each. Half as often as a worker's: an idle machine's processor pays for every one.
  static constexpr Millis kBeat{1'000};
  /// Silence of a gateway, and then a fresh connection.
  static constexpr Millis kGone{2'500};
  static constexpr Millis kWelcomeWithin{500};  ///< then Hello is said again
  /// A beat this late proves nothing: words of the gateway may wait to be read.
  static constexpr Millis kLate{2'000};

  /// `id`: fresh per process.
  BusPresence(std::string id, std::string build, Mono now)
      : id_(std::move(id)), build_(std::move(build)), last_beat_(now) {}

  /// The index for the rest; links are never removed.
  std::size_t add_gateway(std::unique_ptr<bus::JobClient> client, Mono now);
  /// The connection is there, for the first time or again.
  void on_connected(std::size_t gateway, Mono now);
  void on_message(std::size_t gateway, const bus::Message& message, Mono now);
  void beat(Mono now);
  /// The last word: we leave in good order.
  void leave();
  /// Gateways that know of us.
  [[nodiscard]] std::size_t joined() const;

 private:
  struct Link {
    std::unique_ptr<bus::JobClient> client;
    Mono heard{};  ///< or connected anew
    std::optional<Mono> said_hello{};
    bool joined = false;
  };
  void say_hello(Link& link, Mono now);

  std::string id_;
  std::string build_;
  Mono last_beat_;
  std::vector<Link> links_;
};

}  // namespace katana::watchdog
