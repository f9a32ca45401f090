#pragma once

#include <memory>

#include "common/config/settings.hpp"
#include "workers/provider.hpp"

namespace katana::claude {

/// Anthropic's Messages API.
std::unique_ptr<workers::Provider> make_provider(const config::Provider& settings);

}  // namespace katana::claude
