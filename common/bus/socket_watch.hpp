#pragma once

#include <functional>
#include <memory>

#include "common/loop/loop.hpp"

namespace katana::bus {

// ZeroMQ's descriptor (ZMQ_FD) on our loop, and its trap.
//
// The descriptor doesn't say "a message waits". It belongs to the mailbox by which ZeroMQ's I/O thread talks
// to the socket's owner, and is readable while *commands* wait there ("a pipe has data again", "a peer went
// away"). Any call on the socket may carry those commands out: a receive, asking for ZMQ_EVENTS, and a send
// as well. After it the descriptor is quiet, though messages may wait, and nothing makes it readable again
// until a further command comes: the I/O thread sends "has data again" only to a reader that had found its
// pipe empty. Whoever trusts the descriptor alone stands still with a full queue. So:
//
//  1. any event on the descriptor, and any send, means: look (`look_again`);
//  2. to look is to receive until ZMQ_EVENTS, asked after the last receive, shows nothing more to read;
//  3. the look takes place before the loop waits again: `Loop::later` promises exactly that, also for a send
//  made by
//     a callback that runs just before the wait.
//
// A look handles at most kMessagesPerTurn messages; the rest is for the next turn, which doesn't wait, so
// that timers and other descriptors get their turn under a flood too.
//
// Source: zmq_getsockopt(3) on ZMQ_FD and ZMQ_EVENTS; libzmq's socket_base.cpp (process_commands) and
// pipe.cpp.

inline constexpr int kMessagesPerTurn = 16;

/// Looks after one ZeroMQ socket on the loop. Owned by the socket's end and gone before the socket; may be
/// destroyed inside its own callbacks. Loop thread only.
class SocketWatch {
 public:
  struct Callbacks {
    /// Receives one message without waiting and handles it; false when there was none.
    std::function<bool()> receive_one;
    /// Nothing is left to read. `writable`: a send would be accepted now (some peer is connected and has
    /// room).
    std::function<void(bool writable)> on_drained;
  };
  SocketWatch(loop::Loop& loop, void* socket, Callbacks callbacks);
  ~SocketWatch();
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;

  /// After every send, accepted or not.
  void look_again();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace katana::bus
