#pragma once

#include <string>
#include <vector>

#include "common/config/command_line.hpp"
#include "common/config/settings.hpp"
#include "watchdog/supervisor/parent.hpp"

namespace katana::watchdog {

/// The processes that the settings ask for, each with the part of `env` that is its own to see. `bin` is the
/// directory of the programs.
std::vector<Program> programs_of(const config::Settings& settings, const config::Environment& env,
                                 const std::string& bin);
/// The watchdog, as the parent starts it.
Program watchdog_of(const config::Settings& settings, const config::Environment& env, const std::string& bin);

/// `katana up`; `argv` begins with `up`. The exit status.
int run_up(int argc, const char* const* argv);

}  // namespace katana::watchdog
