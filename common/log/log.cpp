#include "common/log/log.hpp"

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

/// The process's logger; until `open` it writes to stderr.
std::shared_ptr<spdlog::logger>& root() {
  static auto logger = std::make_shared<spdlog::logger>(
      "katana", std::make_shared<LineSink>(STDERR_FILENO, config::LogFormat::Text));
  return logger;
}

}  // namespace

void open(const std::string& component, const std::string& level, config::LogFormat format) {
  root() = std::make_shared<spdlog::logger>(component, std::make_shared<LineSink>(STDOUT_FILENO, format));
  root()->set_level(level_of(level));
  spdlog::set_default_logger(root());
}

std::shared_ptr<spdlog::logger> room(std::string_view name) {
  const auto& process = root();
  return process->clone(process->name() + "." + std::string(name));
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
