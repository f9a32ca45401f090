#include "common/log/log.hpp"

#include <cerrno>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "common/core/text.hpp"
#include "common/log/sink.hpp"

namespace katana::log {
namespace {

constexpr std::size_t kExcerpt = 50;

spdlog::level::level_enum level_of(const std::string& name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "warning") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  if (name == "critical") return spdlog::level::critical;
  return spdlog::level::info;
}

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::Debug:
      return spdlog::level::debug;
    case Level::Info:
      return spdlog::level::info;
    case Level::Warning:
      return spdlog::level::warn;
    case Level::Error:
      return spdlog::level::err;
    case Level::Critical:
      return spdlog::level::critical;
  }
  return spdlog::level::critical;
}

/// The process's logger; until `open` it writes to stderr.
std::unique_ptr<spdlog::logger>& process() {
  static auto logger = std::make_unique<spdlog::logger>(
      "katana", std::make_shared<LineSink>(STDERR_FILENO, config::LogFormat::Text));
  return logger;
}

std::string& file() {
  static std::string path;
  return path;
}

}  // namespace

Result<void> to_file(const std::string& path) {
  constexpr mode_t kMode = 0640;
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, kMode);
  if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    const std::string what = "cannot log to " + path + ": " + std::generic_category().message(error);
    if (error == ELOOP) return fail(Code::Rejected, what + ": it is a link; name the file itself");
    if (error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == EISDIR)
      return fail(Code::Rejected, what + "; give this user a directory for it");
    return fail(Code::Internal, what);
  }
  close(fd);
  file() = path;
  return {};
}

Result<void> reopen() {
  return file().empty() ? Result<void>() : to_file(file());
}

void open(const std::string& component, const std::string& level, config::LogFormat format) {
  process() = std::make_unique<spdlog::logger>(component, std::make_shared<LineSink>(STDOUT_FILENO, format));
  process()->set_level(level_of(level));
}

void flush() {
  process()->flush();
}

void Room::write_line(Level level, fmt::string_view format, fmt::format_args args) const {
  const auto& logger = *process();
  const auto at = level_of(level);
  if (!logger.should_log(at)) return;
  std::string from = logger.name();
  if (!name_.empty()) from.append(1, '.').append(name_);
  const std::string line = fmt::vformat(format, args);
  for (const auto& sink : logger.sinks())
    sink->log(spdlog::details::log_msg(from, at, line));
}

std::string excerpt(std::string_view text, config::LogMessages mode) {
  switch (mode) {
    case config::LogMessages::None:
      return {};
    case config::LogMessages::Summary:
      // A code unit is at most 3 bytes, so this prefix holds all that can be shown of a long text.
      return text::shorten(text::one_line(text::sanitize(text.substr(0, (kExcerpt + 1) * 4))), kExcerpt);
    case config::LogMessages::Full:
      return text::one_line(text::sanitize(text));
  }
  return {};
}

}  // namespace katana::log
