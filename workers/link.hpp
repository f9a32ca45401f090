#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"

namespace katana::workers {

/// The worker's side of one gateway: whether it is there, and what it was told. Owned by the worker; pure but
/// for the port it sends through.
///
/// ZeroMQ connects again by itself, to a gateway that may have started anew and then doesn't know us: each
/// time it says so, we say Hello. After `kGone` without a word: a fresh connection, so within three seconds.
class Link {
 public:
  static constexpr Millis kGone{2'500};
  static constexpr Millis kWelcomeWithin{500};  ///< then Hello is said again: one of the two may be lost
  enum class Need { Nothing, Hello, Reconnect };

  Link(std::string endpoint, std::unique_ptr<bus::JobClient> client, Mono now)
      : endpoint_(std::move(endpoint)), client_(std::move(client)), heard_(now), connected_(now) {}

  Result<void> send(const bus::Message& message) { return client_->send(message); }
  void heard(Mono now) { heard_ = now; }
  /// What this beat must do about it; `late`: this turn of the loop proves nothing.
  [[nodiscard]] Need need(Mono now, bool late) const;
  void said_hello(Mono now) { said_hello_ = now; }
  /// There is a new connection, where nothing was said yet.
  void forget();
  /// Drops the connection for a fresh one, which has not said Hello.
  void reconnect(Mono now);
  void welcome(std::string gateway_id);

  [[nodiscard]] bool joined() const { return joined_; }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] const std::string& gateway_id() const { return gateway_id_; }

  /// The window it was told last; none since its Welcome.
  std::optional<std::uint32_t> credit;
  /// Jobs that run here on its behalf.
  std::size_t running = 0;

 private:
  std::string endpoint_;
  std::unique_ptr<bus::JobClient> client_;
  std::string gateway_id_;
  Mono heard_;
  Mono connected_;
  std::optional<Mono> said_hello_;
  bool joined_ = false;
};

}  // namespace katana::workers
