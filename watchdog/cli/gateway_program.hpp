#pragma once

#include <string>
#include <vector>

#include "common/config/command_line.hpp"

namespace katana::watchdog {

/// Runs katana-gateway, which lies beside this program, with these words, and waits for its end: only that
/// program opens the store. `said`: gets all that it writes, without the last line's end; nullptr: it writes
/// where we do. The exit status; 1 when it can't be started or is killed.
int run_gateway_program(const config::CommandLine& line, std::vector<std::string> words, std::string* said);

}  // namespace katana::watchdog
