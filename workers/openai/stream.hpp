#pragma once

#include <memory>

#include "workers/json_reader.hpp"
#include "workers/provider.hpp"

namespace katana::openai {

/// Read the events of one streamed answer. `reader` is the process's, and outlives them.
std::unique_ptr<workers::Decoder> make_responses_decoder(workers::json::Reader& reader);
std::unique_ptr<workers::Decoder> make_chat_decoder(workers::json::Reader& reader);

/// What the `error` object of a body or of an event means. `status`: of the HTTP answer; 0: none, the name
/// decides.
workers::Failure failure_of(const workers::json::Object& error, int status);

}  // namespace katana::openai
