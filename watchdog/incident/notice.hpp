#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

namespace katana::watchdog {

enum class Severity { Warning, Critical };
enum class NoticeKind { Opened, Resolved, Flapping, Test };

std::string_view to_string(Severity severity);
std::string_view to_string(NoticeKind kind);

/// One message to the people on duty: what the channels carry and the spool keeps. Holds no user's words.
struct Notice {
  std::string id;        ///< fresh for each notice
  std::string incident;  ///< the thread: every notice of an incident has the same
  NoticeKind kind = NoticeKind::Opened;
  Severity severity = Severity::Warning;
  Wall at{};
  std::string host;
  std::string where;   ///< the instance, or the channel
  std::string title;   ///< one line
  std::string effect;  ///< what users feel
  std::string last_error;
  int restarts = 0;
  Wall since{};
  std::int64_t lasted_ms = 0;  ///< Resolved: how long
  std::string except{};        ///< the channel that can't carry it: the one it is about
};

/// `1 min 4 s`, `320 ms`: a duration for people.
std::string human(Millis span);
/// `2026-11-23 22:35:47 UTC`.
std::string utc(Wall at);

/// One line: `CRITICAL claude-1: killed by signal 9 (KILL)`, or `RESOLVED …, lasted 900 ms`.
std::string subject(const Notice& notice);
/// The message as plain text, a fact a line.
std::string to_text(const Notice& notice);
/// The same as a complete HTML document without outside resources.
std::string to_html(const Notice& notice);

std::string to_json(const Notice& notice);
/// The reverse, for the spool. The error says what is wrong with it.
Result<Notice> parse_notice(std::string_view json);

}  // namespace katana::watchdog
