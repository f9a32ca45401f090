#pragma once

#include <string>
#include <string_view>

#include "common/loop/loop.hpp"

namespace katana::watchdog {

/// Writes to one end of the socket pair of parent and watchdog without ever waiting for the other end: what
/// the socket doesn't take is kept here, in order, and follows when it does. Has a descriptor of its own,
/// since the loop watches each one once. Loop thread only.
class LineWriter {
 public:
  static constexpr std::size_t kMost = 4 << 20;  ///< bytes kept; whoever leaves so many unread is dead
  LineWriter(loop::Loop& loop, int fd);
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  /// False if the line was dropped: too much is kept already, or the other end is gone.
  bool write(std::string_view line);

 private:
  bool flush();

  loop::Loop& loop_;
  int fd_;
  std::string kept_;
  loop::Handle writable_;  ///< while something is kept
};

}  // namespace katana::watchdog
