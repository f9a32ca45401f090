#pragma once

#include <csignal>
#include <functional>
#include <initializer_list>

#include "loop.hpp"

namespace sandbox {

/// Signals as events of the loop. While it lives they are blocked otherwise.
class Signals : public Watched {
 public:
  Signals(Loop& loop, std::initializer_list<int> which, std::function<void(int)> came);
  ~Signals() override;
  void on_ready(std::uint32_t events) override;

 private:
  Loop& loop_;
  std::function<void(int)> came_;
  sigset_t before_{};
  int fd_ = -1;
};

/// Tells when another process has ended. Throws when there is none of that id.
class Companion : public Watched {
 public:
  Companion(Loop& loop, int pid, std::function<void()> ended);
  ~Companion() override;
  void on_ready(std::uint32_t) override { ended_(); }

 private:
  Loop& loop_;
  std::function<void()> ended_;
  int fd_;
};

}  // namespace sandbox
