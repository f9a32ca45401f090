#include "watchdog/supervisor/output.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <poll.h>
#include <unistd.h>

namespace katana::watchdog {

void Output::line(std::string_view line) {
  if (gone_) return;
  if (waiting_.size() + line.size() + 1 > kMost) {
    ++dropped_;
    return;
  }
  waiting_.append(line).push_back('\n');
  flush();
}

bool Output::write_some() {
  pollfd p{fd_, POLLOUT, 0};
  if (poll(&p, 1, 0) <= 0 || (p.revents & (POLLOUT | POLLERR | POLLHUP)) == 0) return false;
  // A writable pipe takes at least PIPE_BUF (4096) bytes without blocking.
  const ssize_t n = write(fd_, waiting_.data(), std::min<std::size_t>(waiting_.size(), 4096));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return false;
  if (n < 0) {
    gone_ = true;
    waiting_.clear();
    return false;
  }
  waiting_.erase(0, static_cast<std::size_t>(n));
  if (waiting_.empty() && dropped_ > 0)
    waiting_ = "(" + std::to_string(std::exchange(dropped_, 0)) + " lines were dropped: nobody read them)\n";
  return true;
}

void Output::flush() {
  while (!waiting_.empty() && write_some()) {
  }
  if (!waiting_.empty() && !retry_)
    retry_ = loop_.after(Millis{50}, [this] {
      retry_.reset();
      flush();
    });
}

void Output::drain(Millis limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!waiting_.empty() && !gone_ && std::chrono::steady_clock::now() < end) {
    if (write_some()) continue;
    pollfd p{fd_, POLLOUT, 0};
    poll(&p, 1, 20);
  }
}

}  // namespace katana::watchdog
