#pragma once

#include <string>

#include "watchdog/status/snapshot.hpp"

namespace katana::watchdog {

/// What `katana status` prints: a line a process, what is wrong, and who is told.
std::string to_table(const Snapshot& snapshot, bool colour);
/// The same for a chat on a phone: short lines.
std::string to_lines(const Snapshot& snapshot);
/// What is wrong and what was, for the same.
std::string incident_lines(const Snapshot& snapshot);
/// What `katana incidents` prints: open ones first, then past ones, newest first.
std::string incidents_table(const Snapshot& snapshot);

}  // namespace katana::watchdog
