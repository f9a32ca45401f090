#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"

namespace katana::bus {

/// A connection as ZeroMQ routes it: opaque, fresh for each connection, printable.
using PeerId = std::string;

/// Under whose key a peer came in: the same for all connections with that key; empty where there are no keys.
std::string_view key_of(const PeerId& peer);

/// Port: the gateway's end (ROUTER). Loop thread only. Messages come in order for each peer, through the
/// handler that was given at construction; `on_drained` is called after each batch, and after sends made
/// outside of it, when nothing more waits on the socket: the moment to judge who is gone.
class JobServer {
 public:
  struct Handlers {
    std::function<void(const PeerId&, Message)> on_message;
    std::function<void()> on_drained;                                 ///< optional
    std::function<void(const PeerId&, const Error&)> on_malformed{};  ///< optional; the frame was dropped
  };
  virtual ~JobServer() = default;
  /// An error means *not sent*: Overloaded (its queue is full) or Network (unknown peer). Success proves
  /// nothing.
  virtual Result<void> send(const PeerId& to, const Message& message) = 0;
};

/// Port: a worker's end of the connection to one gateway (DEALER). Loop thread only.
class JobClient {
 public:
  struct Handlers {
    std::function<void(Message)> on_message;
    std::function<void(const Error&)> on_malformed{};  ///< optional; the frame was dropped
    /// Optional. The connection is there, for the first time or again: the moment for Hello. Before it, and
    /// after the gateway went away, a send is refused as Overloaded. It may also come when a full queue has
    /// room again.
    std::function<void()> on_connected{};
  };
  virtual ~JobClient() = default;
  virtual Result<void> send(const Message& message) = 0;
  /// Drops the connection and all that waits on it, and connects anew with a fresh identity.
  virtual void reconnect() = 0;
};

/// Port: heartbeats out (PUB, connects to the watchdog). Never blocks; what can't go is dropped.
class HeartbeatSink {
 public:
  virtual ~HeartbeatSink() = default;
  virtual void publish(const Heartbeat& beat) = 0;
};

}  // namespace katana::bus
