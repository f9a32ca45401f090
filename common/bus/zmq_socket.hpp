#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <zmq.hpp>

#include "common/bus/codec.hpp"
#include "common/bus/endpoint.hpp"
#include "common/bus/keys.hpp"
#include "common/bus/zap.hpp"
#include "common/bus/zmq_bus.hpp"

namespace katana::bus {

/// What the sockets of a process share. Owned by ZmqBus.
struct BusContext {
  loop::Loop& loop;
  std::filesystem::path keys;
  zmq::context_t context{1};
  std::unique_ptr<Zap> zap{};  ///< from the first keyed bind on
  BusCounts counts{};

  Result<Zap*> doorkeeper();
};

/// A kind of socket with its limits. A queue is counted in messages for each peer, and is longer than any
/// credit.
struct SocketKind {
  zmq::socket_type type;
  int queue;
  std::size_t max_frame;
};
inline constexpr SocketKind kJobServer{zmq::socket_type::router, 16384, kMaxFrame};
inline constexpr SocketKind kJobClient{zmq::socket_type::dealer, 16384, kMaxFrame};
/// XPUB is PUB that also hears of its listeners.
inline constexpr SocketKind kHeartbeatSink{zmq::socket_type::xpub, 64, kMaxHeartbeat};
inline constexpr SocketKind kHeartbeatSource{zmq::socket_type::sub, 1024, kMaxHeartbeat};

/// A bound socket; a `tcp://` one with the keys of `party` and the doorkeeper in front.
Result<zmq::socket_t> bind_socket(BusContext& bus, SocketKind kind, const std::string& endpoint,
                                  std::string_view party);

/// Where and as whom to connect: checked once, opened as often as needed.
struct Connection {
  Endpoint endpoint;
  std::optional<KeyPair> mine;  ///< tcp alone
  std::string theirs;           ///< public key of the party that binds
};
Result<Connection> prepare_connection(BusContext& bus, const std::string& endpoint, std::string_view party);
Result<zmq::socket_t> connect_socket(BusContext& bus, SocketKind kind, const Connection& connection);

/// Sends what `codec` has staged, behind `route` when that isn't empty. Never waits. An error means *not
/// sent*.
Result<void> send_staged(zmq::socket_t& socket, Codec& codec, std::size_t size, std::string_view route = {});

/// One message without waiting, reduced to what our protocols use.
struct Received {
  bool any = false;      ///< false: nothing waited
  zmq::message_t route;  ///< ROUTER alone
  zmq::message_t body;
  bool well_shaped = true;  ///< exactly the parts that belong there
};
Received receive_frame(zmq::socket_t& socket, bool routed);

/// The ZAP user id that a message's connection was admitted under; empty without keys.
std::string_view user_of(zmq::message_t& message);

}  // namespace katana::bus
