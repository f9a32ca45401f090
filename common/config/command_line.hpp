#pragma once

#include <string>

#include <tl/expected.hpp>

#include "common/config/settings.hpp"

namespace katana::config {

/// Where the Debian package has its settings: the defaults, which come with it, and the machine's own over
/// them (both are the units' EnvironmentFile); and the secrets that systemd hands out: root's alone, each in
/// a file of its own, this and the secret's name.
inline constexpr const char* kInstalledDefaults = "/etc/katana/katana.env";
inline constexpr const char* kInstalledFile = "/etc/katana/local.env";
inline constexpr const char* kInstalledSecrets = "/etc/credstore/katana.";

/// What a program says of itself in --help and --version.
struct About {
  std::string program;  ///< `katana-gateway`
  std::string purpose;  ///< one sentence
};

/// The options that every program has.
struct CommandLine {
  std::string env_file;  ///< --env-file; empty: `.env` in the working directory, if there is one
  std::string instance;  ///< --instance; empty: KATANA_INSTANCE
};

/// Takes the command line, or gives the status to exit with: --help and --version have printed and give 0;
/// anything that isn't understood has printed one line on stderr and gives 2.
tl::expected<CommandLine, int> parse_command_line(int argc, const char* const* argv, const About& about);

/// The environment over the file that `line` names. An `--env-file` that can't be read is an error; a missing
/// `.env` is not. A file with secrets that others can read adds to `warnings`. `or_installed`: where there is
/// no file, those of the Debian package, as far as they may be read; for the operator's command.
Result<Environment> gather(const CommandLine& line, std::vector<std::string>& warnings,
                           bool or_installed = false);

/// `gather`, then `load`: what a program does at its start, and again at SIGHUP.
Result<Settings> load(Program program, const CommandLine& line);

/// "katana-gateway 0.1.0"
std::string version_of(const About& about);

}  // namespace katana::config
