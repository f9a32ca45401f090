#include "watchdog/supervisor/line_writer.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace katana::watchdog {

LineWriter::LineWriter(loop::Loop& loop, int fd) : loop_(loop), fd_(fcntl(fd, F_DUPFD_CLOEXEC, 3)) {}

LineWriter::~LineWriter() {
  writable_.reset();
  if (fd_ >= 0) close(fd_);
}

bool LineWriter::write(std::string_view line) {
  if (kept_.size() + line.size() > kMost) return false;
  kept_ += line;
  if (writable_) return true;
  if (!flush()) return false;
  if (!kept_.empty())
    writable_ = loop_.watch(fd_, loop::Io::Write, [this](loop::Ready) {
      if (!flush() || kept_.empty()) writable_.reset();
    });
  return true;
}

/// False: the other end is gone.
bool LineWriter::flush() {
  while (!kept_.empty()) {
    const ssize_t n = send(fd_, kept_.data(), kept_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) {
      kept_.clear();
      return false;
    }
    kept_.erase(0, static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace katana::watchdog
