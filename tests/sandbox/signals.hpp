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

}  // namespace sandbox
