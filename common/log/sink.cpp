#include "common/log/sink.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/text.hpp"
#include "common/log/log.hpp"

namespace katana::log {
namespace {

constexpr std::size_t kMaxPending = 1 << 20;
constexpr std::size_t kMaxMessage = 64 << 10;
constexpr int kLastWaitMs = 500;  // for a slow reader, when the process ends

const char* level_name(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return "DEBUG";
    case spdlog::level::info:
      return "INFO";
    case spdlog::level::warn:
      return "WARNING";
    case spdlog::level::err:
      return "ERROR";
    default:
      return "CRITICAL";
  }
}

/// `2026-08-01 12:00:00,123` in local time, or `2026-08-01T10:00:00.123Z`. The second's text is kept: most
/// lines share it with the one before.
std::string stamp(spdlog::log_clock::time_point time, bool utc) {
  const auto since = time.time_since_epoch();
  const std::time_t second = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since).count() % 1000;
  struct Kept {
    std::time_t second = -1;
    bool utc = false;
    std::array<char, 32> text{};
  };
  thread_local Kept kept;
  if (kept.second != second || kept.utc != utc) {
    std::tm parts{};
    if (utc) {
      gmtime_r(&second, &parts);
    } else {
      localtime_r(&second, &parts);
    }
    std::strftime(kept.text.data(), kept.text.size(), utc ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S",
                  &parts);
    kept.second = second;
    kept.utc = utc;
  }
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), utc ? ".%03dZ" : ",%03d", static_cast<int>(ms));
  return std::string(kept.text.data()) + fraction.data();
}

/// Valid UTF-8 without control characters needs no escapes in JSON but these two.
void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

std::string format_line(config::LogFormat format, std::string_view logger, spdlog::level::level_enum level,
                        spdlog::log_clock::time_point time, std::string_view message) {
  const std::string clean = text::one_line(text::sanitize(redact(message.substr(0, kMaxMessage))));
  const bool json = format == config::LogFormat::Json;
  std::string out;
  out.reserve(clean.size() + logger.size() + 80);
  if (!json) {
    out += stamp(time, false);
    out.append(" - ").append(logger).append(" - ").append(level_name(level)).append(" - ").append(clean);
    return out;
  }
  out.append("{\"time\":\"").append(stamp(time, true)).append("\",\"component\":");
  append_json(out, logger);
  out.append(",\"level\":\"").append(level_name(level)).append("\",\"message\":");
  append_json(out, clean);
  out += '}';
  return out;
}

LineSink::LineSink(int fd, config::LogFormat format) : fd_(fd), format_(format), always_ready_(false) {
  struct stat info {};
  always_ready_ = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

void LineSink::sink_it_(const spdlog::details::log_msg& msg) {
  if (closed_) return;
  const std::string_view logger(msg.logger_name.data(), msg.logger_name.size());
  push(format_line(format_, logger, msg.level, msg.time, {msg.payload.data(), msg.payload.size()}));
  drain(0);
}

void LineSink::push(const std::string& line) {
  if (dropped_ > 0 && pending_.size() < kMaxPending / 2) {
    const std::string note = std::to_string(dropped_) + " log lines were dropped: nobody read them in time";
    pending_ += format_line(format_, "log", spdlog::level::warn, spdlog::log_clock::now(), note) + "\n";
    dropped_ = 0;
  }
  if (dropped_ > 0 || pending_.size() + line.size() >= kMaxPending) {
    ++dropped_;
    return;
  }
  pending_ += line;
  pending_ += '\n';
}

void LineSink::drain(int wait_ms) {
  std::size_t written = 0;
  while (written < pending_.size()) {
    std::size_t piece = pending_.size() - written;
    if (!always_ready_) {
      pollfd ready{fd_, POLLOUT, 0};
      if (poll(&ready, 1, wait_ms) <= 0) break;
      // A pipe that is ready has room for PIPE_BUF bytes: such a piece never blocks.
      piece = std::min<std::size_t>(piece, PIPE_BUF);
    }
    const ssize_t n = write(fd_, pending_.data() + written, piece);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      closed_ =
          errno == EPIPE || errno == EBADF || errno == EIO;  // the reader is gone; there is no one to tell
      written = pending_.size();
      break;
    }
    written += static_cast<std::size_t>(n);
  }
  pending_.erase(0, written);
}

void LineSink::flush_() {
  drain(kLastWaitMs);
}

}  // namespace katana::log
