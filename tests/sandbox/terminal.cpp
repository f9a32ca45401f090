#include "terminal.hpp"

#include <algorithm>
#include <cerrno>

#include <sys/ioctl.h>
#include <unistd.h>

namespace sandbox {
namespace {

winsize size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size.ws_col = 80;
  if (size.ws_row == 0) size.ws_row = 24;
  return size;
}

}  // namespace

Terminal::Terminal() {
  interactive_ = isatty(STDOUT_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0;
  if (!interactive_) return;
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

Terminal::~Terminal() {
  if (!interactive_) return;
  write("\r\n");
  tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

std::size_t Terminal::columns() const {
  return interactive_ ? std::max<std::size_t>(size().ws_col, 20) - 1 : 0;
}

void Terminal::draw(const std::vector<std::string>& settled, std::vector<std::string> live) {
  std::string out;
  if (!interactive_) {
    for (const std::string& line : settled)
      out += line + "\n";
    return write(out);
  }
  const std::size_t rows = std::max<std::size_t>(size().ws_row, 2) - 1;
  if (live.size() > rows) live.erase(live.begin(), live.end() - static_cast<std::ptrdiff_t>(rows));
  if (settled.empty() && live == last_) return;
  out = "\x1b[?25l\r";
  if (drawn_ > 1) out += "\x1b[" + std::to_string(drawn_ - 1) + "A";
  // Each line is cleared behind its end, not before it, so that nothing flickers.
  for (const std::string& line : settled)
    out += line + "\x1b[K\r\n";
  for (std::size_t i = 0; i < live.size(); ++i)
    out += (i == 0 ? "" : "\r\n") + live[i] + "\x1b[K";
  out += "\x1b[J\x1b[?25h";
  drawn_ = live.size();
  last_ = std::move(live);
  write(out);
}

/// A terminal that is gone is noticed where its keys are read.
void Terminal::write(const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t count = ::write(STDOUT_FILENO, bytes.data() + at, bytes.size() - at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    at += static_cast<std::size_t>(count);
  }
}

}  // namespace sandbox
