#pragma once

#include <string>
#include <string_view>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"

namespace katana::watchdog {

/// A check's verdict in one line: `OK: …` on standard output and status 0, or `CRITICAL: …` on standard error
/// and 1.
struct Verdict {
  bool ok = false;
  std::string line;
};
/// Prints it; the exit status.
int tell(const Verdict& verdict);

/// What the content of the heartbeat file means at `now`. Pure.
Verdict judge_heartbeat(std::string_view content, const std::string& path, Seconds threshold, Wall now);
/// The same of a file.
Verdict check_heartbeat(const std::string& path, Seconds threshold, Wall now);

/// Whether a process (`claude-1`) or a component (`claude`) is up: by the watchdog, or when that can't be
/// asked, by the list of this machine's processes.
Verdict check_process(const config::Settings& settings, const std::string& name);

}  // namespace katana::watchdog
