#pragma once

#include <functional>
#include <memory>

#include "common/config/settings.hpp"
#include "workers/provider.hpp"

namespace katana::workers {

/// What one worker program has of its own.
struct ProviderProgram {
  config::Program kind = config::Program::Claude;
  const char* program = "";    ///< `katana-claude`
  const char* component = "";  ///< `claude`
  const char* label = "";      ///< `Claude`
  const char* key_setting = "";
  config::Provider config::Settings::*account = nullptr;
  std::unique_ptr<Provider> (*make)(const config::Provider&) = nullptr;
};

/// A worker's `main`: settings, log, the worker on the service's skeleton until it is stopped. The exit
/// status.
int run(int argc, const char* const* argv, const ProviderProgram& program);

}  // namespace katana::workers
