#pragma once

#include <functional>

#include "common/loop/loop.hpp"
#include "watchdog/supervisor/line_writer.hpp"
#include "watchdog/supervisor/wire.hpp"

namespace katana::watchdog {

/// The watchdog's end of the socket pair to its parent. Owned by the watchdog; loop thread only.
class ParentLink {
 public:
  struct Events {
    std::function<void(FromParent)> on_message;
    std::function<void()> on_gone;  ///< the parent has died
  };
  ParentLink(loop::Loop& loop, int fd, Events events);
  void send(const FromWatchdog& message);

 private:
  void read();

  int fd_;
  LineWriter to_parent_;
  Events events_;
  Lines lines_;
  loop::Handle watch_;
};

}  // namespace katana::watchdog
