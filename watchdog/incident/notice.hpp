#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

namespace katana::watchdog {

enum class Severity { Warning, Critical };

enum class NoticeKind {
  Opened,
  Storm,         ///< many at once, told together
  Flapping,      ///< one incident that comes and goes
  Escalated,     ///< nobody answered, or it became critical
  Reminder,      ///< it is still so
  Acknowledged,  ///< somebody looks after it: for machines, see Channel::wants
  Resolved,
  Test,
};

std::string_view to_string(Severity severity);
std::string_view to_string(NoticeKind kind);

/// One message to the people on duty: what the channels carry and the spool keeps. Holds no user's words.
struct Notice {
  std::string id;            ///< fresh for each notice
  std::uint64_t number = 0;  ///< in the order in which the book wrote them, from 1; 0: none of the book's
  std::string incident;      ///< the thread: every notice of an incident has the same
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
  std::string runbook{};       ///< link to what to do
  std::string process{};       ///< the instance that a restart might mend; empty: none

  std::string key{};  ///< of the incident; empty for a test
  std::string component{};
  struct Member {
    std::string key;
    std::string id;
    std::string component;
    std::string where;
    std::string title;
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::vector<Member> members{};  ///< Storm: what was told with it
};

/// True for a notice that asks somebody to act.
bool calls_for_action(NoticeKind kind);

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

/// For other programs: a few KiB.
std::string to_json(const Notice& notice);
/// For the spool: with all members of a storm.
std::string to_spool(const Notice& notice);
/// The reverse of both. The error says what is wrong with it.
Result<Notice> parse_notice(std::string_view json);

}  // namespace katana::watchdog
