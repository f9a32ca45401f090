#include "signals.hpp"

#include <stdexcept>
#include <string>

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sandbox {

Signals::Signals(Loop& loop, std::initializer_list<int> which, std::function<void(int)> came)
    : loop_(loop), came_(std::move(came)) {
  sigset_t set;
  sigemptyset(&set);
  for (const int one : which)
    sigaddset(&set, one);
  sigprocmask(SIG_BLOCK, &set, &before_);
  fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  loop_.watch(fd_, 1, this);
}

Signals::~Signals() {
  loop_.forget(fd_);
  ::close(fd_);
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void Signals::on_ready(std::uint32_t) {
  signalfd_siginfo info{};
  while (::read(fd_, &info, sizeof info) == sizeof info)
    came_(static_cast<int>(info.ssi_signo));
}

Companion::Companion(Loop& loop, int pid, std::function<void()> ended)
    : loop_(loop), ended_(std::move(ended)), fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {
  if (fd_ < 0) throw std::runtime_error("there is no process " + std::to_string(pid));
  loop_.watch(fd_, 1, this);
}

Companion::~Companion() {
  loop_.forget(fd_);
  ::close(fd_);
}

}  // namespace sandbox
