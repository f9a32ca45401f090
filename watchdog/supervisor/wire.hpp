#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/core/result.hpp"
#include "watchdog/liveness/roster.hpp"
#include "watchdog/supervisor/supervisor.hpp"

namespace katana::watchdog {

/// What parent and watchdog say to each other over their socket pair: one line of blank-separated words each,
/// at most kMaxLine bytes. The parent begins with `plan` and `running` for everything it knows, then `begin`;
/// so a watchdog that replaces a dead one starts where that one stopped.
///
///     parent -> watchdog                          watchdog -> parent
///     replaced AT_MS STATUS SIGNAL                start NAME
///     plan NAME COMPONENT                         signal NAME SIGNO
///     running NAME PID AGE_MS                     alive
///     begin                                       kept NAME PID
///     said NAME LINE
///     exited NAME PID STATUS SIGNAL LAST LINE
///     stopping
inline constexpr std::size_t kMaxLine = 4096;

struct Replaced {  ///< you take the place of a watchdog that died
  Mono at{};       ///< then; the monotonic clock is the machine's, so both ends read the same
  Ending ending;
};
struct Planned {
  std::string name;
  std::string component;
};
struct Running {
  std::string name;
  std::int64_t pid = 0;
  Millis age{0};
};
struct Begin {};
/// One of the last kLastLines lines of a process that has ended, oldest first; its `exited` follows. People's
/// words may be in it: for the page's incident view behind the token alone.
struct Said {
  std::string name;
  std::string line;
};
inline constexpr std::size_t kLastLines = 20;
struct Exited {
  std::string name;
  std::int64_t pid = 0;
  Ending ending;
  std::string line;  ///< its last line of output; empty unless it ended with status 2
};
struct Stopping {};  ///< an orderly stop has begun: exits are no incidents now
using FromParent = std::variant<Replaced, Planned, Running, Begin, Said, Exited, Stopping>;

struct Alive {};  ///< the watchdog's own life, once a second
struct Kept {     ///< that process's end is on the watchdog's disk: its successor needn't hear of it
  std::string name;
  std::int64_t pid = 0;
};
using FromWatchdog = std::variant<Order, Alive, Kept>;

std::string to_line(const FromParent& message);
std::string to_line(const FromWatchdog& message);
Result<FromParent> parse_from_parent(std::string_view line);
Result<FromWatchdog> parse_from_watchdog(std::string_view line);

/// Cuts a stream of bytes into lines. A line above kMaxLine is an error: the other end isn't who we think.
class Lines {
 public:
  /// Appends what was read, and hands each whole line (without its end) to `each`.
  template <class Each>
  Result<void> feed(std::string_view bytes, Each&& each) {
    rest_ += bytes;
    std::size_t from = 0;
    for (std::size_t end; (end = rest_.find('\n', from)) != std::string::npos; from = end + 1)
      each(std::string_view(rest_).substr(from, end - from));
    rest_.erase(0, from);
    if (rest_.size() > kMaxLine) return fail(Code::Malformed, "a line of more than 4096 bytes");
    return {};
  }

 private:
  std::string rest_;
};

}  // namespace katana::watchdog
