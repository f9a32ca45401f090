#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "common/config/settings.hpp"
#include "common/core/result.hpp"

namespace katana::log {

enum class Level : std::uint8_t { Debug, Info, Warning, Error, Critical };

/// Sets up the process's log on standard output: `YYYY-MM-DD HH:MM:SS,mmm - component - LEVEL - message`,
/// or one JSON object a line. Every line passes `redact`. Call once, early in main; before it, messages go to
/// stderr.
void open(const std::string& component, const std::string& level, config::LogFormat format);

/// Standard output and standard error go to this file from now on: what the process logs, and what it cries
/// at its end. Appended to; made (0640) where it is missing. Before `open`. A disk that hangs holds up the
/// process: a regular file has no way of not blocking.
Result<void> to_file(const std::string& path);
/// Opens that file again, which somebody may have moved away (logrotate). On an error the old one stays in
/// use. Without a file, nothing happens.
Result<void> reopen();

/// Writes what still waits for a slow reader, as far as it takes it.
void flush();

/// Who speaks: its lines carry `component.name`, as in `gateway.poller`; without a name, the component alone.
/// A constant of the file that logs, usable before `open`. Any thread. Formats are checked when compiled, but
/// written out in one place: what a line costs its caller is its arguments.
class Room {
 public:
  /// `name` must outlive the room: a literal.
  constexpr explicit Room(std::string_view name = {}) : name_(name) {}

  template <class... Args>
  void write(Level level, fmt::format_string<Args...> format, Args&&... args) const {
    write_line(level, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    write_line(Level::Debug, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write_line(Level::Info, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    write_line(Level::Warning, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write_line(Level::Error, format, fmt::make_format_args(args...));
  }
  template <class... Args>
  void critical(fmt::format_string<Args...> format, Args&&... args) const {
    write_line(Level::Critical, format, fmt::make_format_args(args...));
  }

 private:
  void write_line(Level level, fmt::string_view format, fmt::format_args args) const;

  std::string_view name_;
};

/// Registers a secret whose characters must never be written: a last net under `Secret`. Any line that holds
/// it is written with the mask in its place. At least 8 characters, else ignored.
void hide(std::string_view secret);
/// What `open`'s sink does to each line: registered secrets, and anything shaped like a bot token in a URL.
std::string redact(std::string_view line);

/// A message's text for the log as KATANA_LOG_MESSAGES wants it: empty, 50 characters, or all; always one
/// line.
std::string excerpt(std::string_view text, config::LogMessages mode);

}  // namespace katana::log
