#pragma once

#include <memory>

#include "common/config/settings.hpp"
#include "workers/provider.hpp"

namespace katana::openai {

/// OpenAI's Responses API, or Chat Completions as compatible servers speak it, by `settings.api`.
std::unique_ptr<workers::Provider> make_provider(const config::Provider& settings);

}  // namespace katana::openai
