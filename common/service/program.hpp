#pragma once

#include <functional>
#include <optional>

#include "common/config/command_line.hpp"
#include "common/config/settings.hpp"

namespace katana::service {

/// What a `main` knows of its program.
struct ProgramInfo {
  config::About about;
  config::Program kind = config::Program::Gateway;
  std::string component;           ///< "gateway": the first part of its log lines' names
  bool makes_directories = false;  ///< it binds sockets or keeps a store: gateway, watchdog, up
};

/// Every `main`: command line, settings (a bad one: one line on stderr, status 2), log, then `body`, whose
/// result is the exit status. Catches what is thrown while starting: status 1. `line` is for reading the
/// settings again.
int run_program(
    int argc, const char* const* argv, const ProgramInfo& info,
    const std::function<int(const config::Settings& settings, const config::CommandLine& line)>& body);

/// The settings as they are now, for a reload: secrets may have changed in their files. What is wrong is
/// logged, and what was read before stays in use.
std::optional<config::Settings> settings_again(config::Program program, const config::CommandLine& line);

/// SIGUSR1: the log's file was moved away, and is opened anew.
void reopen_log();

/// Makes `path` (0700) and its parents where it is missing. The error names `setting` and the mend.
Result<void> make_directory(const std::string& path, std::string_view setting);

}  // namespace katana::service
