#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/loop/loop.hpp"
#include "watchdog/liveness/roster.hpp"

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
  /// What is known of that process: nothing, unless it is watched.
  [[nodiscard]] Presence presence(const std::string& instance, std::int64_t pid) const;
  /// Forgets those whose name isn't known any more.
  void sweep(const std::function<bool(const std::string& instance)>& known);

 private:
  struct Watched {
    std::int64_t pid = 0;
    int fd = -1;
    bool ended = false;
    loop::Handle readable;
  };
  static void close_of(Watched& watched);

  loop::Loop& loop_;
  OnExit on_exit_;
  std::map<std::string, Watched> watched_;  ///< by instance
};

}  // namespace katana::watchdog
