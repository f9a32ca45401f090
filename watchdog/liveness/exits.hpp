#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/loop/loop.hpp"

namespace katana::watchdog {

/// Tells the end of processes of this machine that aren't our parent's children: by a pidfd, which becomes
/// readable then. It doesn't say how they ended. Owned by the watchdog; loop thread only.
class Exits {
 public:
  using OnExit = std::function<void(const std::string& instance, std::int64_t pid)>;
  Exits(loop::Loop& loop, OnExit on_exit) : loop_(loop), on_exit_(std::move(on_exit)) {}
  ~Exits();
  Exits(const Exits&) = delete;
  Exits& operator=(const Exits&) = delete;

  /// From now on; nothing if it is watched already, or can't be: it is gone, isn't one of our programs, or
  /// the kernel knows no pidfd.
  void watch(const std::string& instance, std::int64_t pid);

 private:
  struct Watched {
    std::int64_t pid = 0;
    int fd = -1;
    loop::Handle readable;
  };
  void forget(Watched& watched);

  loop::Loop& loop_;
  OnExit on_exit_;
  std::map<std::string, Watched> watched_;  ///< by instance
};

}  // namespace katana::watchdog
