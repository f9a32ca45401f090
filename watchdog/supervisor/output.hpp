#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/loop/loop.hpp"

namespace katana::watchdog {

/// The parent's standard output, where the lines of all children come together. A terminal that is held
/// (Ctrl-S) or a pipe that nobody reads must not stop the loop, and the descriptor is shared with others, so
/// it can't be made non-blocking: it writes what is sure to fit, keeps at most kMost, and counts the lines
/// that it had to drop.
class Output {
 public:
  static constexpr std::size_t kMost = 1 << 20;

  Output(loop::Loop& loop, int fd) : loop_(loop), fd_(fd) {}
  void line(std::string_view line);
  /// What still waits, for at most `limit`: for the end. Blocks.
  void drain(Millis limit);

 private:
  void flush();
  bool write_some();

  loop::Loop& loop_;
  int fd_;
  bool gone_ = false;  ///< the reader or the terminal is no more
  std::string waiting_;
  std::size_t dropped_ = 0;
  loop::Timer retry_;
};

}  // namespace katana::watchdog
