#include "common/bus/socket_watch.hpp"

#include <utility>

#include <zmq.h>

namespace katana::bus {

struct SocketWatch::State : std::enable_shared_from_this<State> {
  State(loop::Loop& on, void* of, Callbacks with) : loop(on), socket(of), callbacks(std::move(with)) {}

  loop::Loop& loop;
  void* socket;
  Callbacks callbacks;
  loop::Handle watch;
  bool open = true;
  bool scheduled = false;
  bool looking = false;  ///< a look is under way and will ask for ZMQ_EVENTS after us
  bool telling = false;  ///< on_drained runs
  bool tell = false;     ///< the coming look ends with on_drained

  void schedule() {
    // A send of on_drained's own is looked after, but isn't news to it: else two sockets would keep each
    // other awake.
    if (!telling) tell = true;
    if (looking || scheduled) return;
    scheduled = true;
    loop.later([self = shared_from_this()] { self->look(); });
  }

  [[nodiscard]] int events() const {
    int found = 0;
    std::size_t size = sizeof found;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &found, &size) == 0 ? found : 0;
  }

  void look() {
    scheduled = false;
    if (!open) return;
    looking = true;
    int found = 0;
    int left = kMessagesPerTurn;
    do {
      while (open && left-- > 0 && callbacks.receive_one())
        tell = true;
      found = open ? events() : 0;
    } while (left > 0 && (found & ZMQ_POLLIN) != 0);
    looking = false;
    if ((found & ZMQ_POLLIN) != 0) return schedule();
    if (!open || !std::exchange(tell, false)) return;
    telling = true;
    callbacks.on_drained((found & ZMQ_POLLOUT) != 0);
    telling = false;
  }
};

SocketWatch::SocketWatch(loop::Loop& loop, void* socket, Callbacks callbacks)
    : state_(std::make_shared<State>(loop, socket, std::move(callbacks))) {
  int fd = -1;
  std::size_t size = sizeof fd;
  zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
  state_->watch = loop.watch(fd, loop::Io::Read, [state = state_.get()](loop::Ready) { state->schedule(); });
  state_->schedule();
}

SocketWatch::~SocketWatch() {
  state_->open = false;
  state_->watch.reset();
}

void SocketWatch::look_again() {
  state_->schedule();
}

}  // namespace katana::bus
