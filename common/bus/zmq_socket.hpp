#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <zmq.hpp>

#include "common/bus/codec.hpp"
#include "common/bus/endpoint.hpp"
#include "common/bus/keys.hpp"
#include "common/bus/zap.hpp"
#include "common/bus/zmq_bus.hpp"

namespace katana::bus {

class KeyedEnd;

/// What the sockets of a process share. Owned by ZmqBus.
struct BusContext {
  loop::Loop& loop;
  BusKeys keys;
  zmq::context_t context{1};
  std::unique_ptr<Zap> zap{};  ///< from the first keyed bind on
  BusCounts counts{};
  std::set<KeyedEnd*> ends{};

  Result<Zap*> doorkeeper();
};

/// What has a socket over keys: told when they may have changed on disk.
class KeyedEnd {
 public:
  explicit KeyedEnd(BusContext& bus) : bus_(bus) { bus_.ends.insert(this); }
  virtual ~KeyedEnd() { bus_.ends.erase(this); }
  KeyedEnd(const KeyedEnd&) = delete;
  KeyedEnd& operator=(const KeyedEnd&) = delete;
  virtual Result<void> read_keys_again() = 0;

 protected:
  BusContext& bus_;
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
struct Bound {
  zmq::socket_t socket;
  std::string public_key;  ///< its own; empty without keys
};
Result<Bound> bind_socket(BusContext& bus, SocketKind kind, const std::string& endpoint,
                          std::string_view party);

/// A socket that is bound for good, but for a moment when its keys change: closed, and bound again at the
/// same place as soon as the old one has left it. Owned by its end; `opened` is told of each new socket.
class Binding {
 public:
  Binding(BusContext& bus, SocketKind kind, std::string endpoint, std::string party, Bound bound);
  [[nodiscard]] zmq::socket_t& socket() { return bound_.socket; }
  [[nodiscard]] bool open() const { return static_cast<bool>(bound_.socket); }
  [[nodiscard]] bool keyed() const { return keyed_; }
  /// If the pair on disk is another than the one in use: `closing`, and then `opened` with the new socket.
  Result<void> renew(const std::function<void()>& closing, std::function<void()> opened);

 private:
  /// Again and again until it succeeds.
  void bind_again(std::function<void()> opened);

  BusContext& bus_;
  SocketKind kind_;
  std::string endpoint_;
  std::string party_;
  bool keyed_;
  Bound bound_;
  int failed_ = 0;
  loop::Timer again_;
};

/// Where and as whom to connect: checked once, opened as often as needed.
struct Connection {
  Endpoint endpoint;
  std::optional<KeyPair> mine;  ///< tcp alone
  std::string theirs;           ///< public key of the party that binds
  std::string next;             ///< the one that will be in its place; often there is none

  /// Whether `used`, made earlier, still goes with the keys on disk. With keys alone.
  [[nodiscard]] bool allows(const Connection& used) const {
    return (used.theirs == theirs || used.theirs == next) && used.mine->public_key == mine->public_key;
  }
};
Result<Connection> prepare_connection(BusContext& bus, const std::string& endpoint, std::string_view party);
/// For the next try of a connection that doesn't come about: keys as they are on disk now; of the other
/// side's two, while its pair is being replaced, the one that wasn't used.
Connection other_key(BusContext& bus, Connection used, std::string_view party);
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
