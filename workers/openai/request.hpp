#pragma once

#include <string>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"
#include "workers/provider.hpp"

namespace katana::openai {

/// The JSON body of `POST /responses`.
Result<std::string> responses_body(const bus::Job& job, const workers::Blobs& blobs);

/// What a compatible server turned out not to know.
struct ChatDialect {
  bool old_cap = false;   ///< `max_tokens` for `max_completion_tokens`
  bool no_usage = false;  ///< no `stream_options`
};

/// The JSON body of `POST /chat/completions`.
Result<std::string> chat_body(const bus::Job& job, const workers::Blobs& blobs, const ChatDialect& dialect);

}  // namespace katana::openai
