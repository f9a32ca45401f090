#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <spdlog/spdlog.h>

#include "common/config/settings.hpp"
#include "common/core/result.hpp"

namespace katana::log {

/// Sets up the process's logger on standard output: `YYYY-MM-DD HH:MM:SS,mmm - component - LEVEL - message`,
/// or one JSON object a line. Every line passes `redact`. Call once, early in main; before it, messages go to
/// stderr.
void open(const std::string& component, const std::string& level, config::LogFormat format);

/// A logger whose lines carry `component.room`: `gateway.poller`. Cheap to copy; get it once, not per line.
std::shared_ptr<spdlog::logger> room(std::string_view name);

/// Registers a secret whose characters must never be written: a last net under `Secret`. Any line that holds
/// it is written with the mask in its place. At least 8 characters, else ignored.
void hide(std::string_view secret);
/// What `open`'s sink does to each line: registered secrets, and anything shaped like a bot token in a URL.
std::string redact(std::string_view line);

/// A message's text for the log as KATANA_LOG_MESSAGES wants it: empty, 50 characters, or all; always one
/// line.
std::string excerpt(std::string_view text, config::LogMessages mode);

}  // namespace katana::log
