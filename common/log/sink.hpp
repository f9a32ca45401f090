#pragma once

#include <cstddef>
#include <mutex>
#include <string>

#include <spdlog/sinks/base_sink.h>

#include "common/config/settings.hpp"

namespace katana::log {

/// One line as it is written, without its line end: redacted, control characters as blanks. Pure but for the
/// time zone.
std::string format_line(config::LogFormat format, std::string_view logger, spdlog::level::level_enum level,
                        spdlog::log_clock::time_point time, std::string_view message);

/// Writes lines to a descriptor and never blocks: what a slow reader doesn't take waits here up to a limit,
/// and is then dropped and counted. Owned by the process's logger; any thread.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LineSink(int fd, config::LogFormat format);

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override;
  void flush_() override;

 private:
  void push(const std::string& line);
  void drain(int wait_ms);

  int fd_;
  config::LogFormat format_;
  bool always_ready_;  ///< a regular file: poll tells nothing and writing doesn't wait for a reader
  bool closed_ = false;
  std::string pending_;
  std::size_t dropped_ = 0;
};

}  // namespace katana::log
