#pragma once

#include "common/config/command_line.hpp"
#include "common/config/settings.hpp"

namespace katana::watchdog {

/// `katana check-config`: every problem of the settings, a line each. The exit status: 0, or 2 with problems.
int run_check_config(const config::CommandLine& line);

/// `katana doctor`: settings, places, processes, tokens, keys and channels, a line each, with the mend. The
/// exit status: 0, or 1 when something is broken.
int run_doctor(const config::CommandLine& line);

}  // namespace katana::watchdog
