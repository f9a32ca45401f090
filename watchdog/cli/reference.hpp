#pragma once

#include <string>

namespace CLI {
class App;
}

namespace katana::watchdog {

/// The command's own reference, made from its verbs and options, so that it can't be out of date.
/// Completion for a shell: to be sourced (bash), or named `_katana` in zsh's function path.
std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
/// katana(1), in man's format.
std::string manual(const CLI::App& app);

}  // namespace katana::watchdog
