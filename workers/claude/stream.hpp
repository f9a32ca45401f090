#pragma once

#include <memory>

#include "workers/json_reader.hpp"
#include "workers/provider.hpp"

namespace katana::claude {

/// Reads the events of one streamed message. `reader` is the process's, and outlives it.
std::unique_ptr<workers::Decoder> make_decoder(workers::json::Reader& reader);

/// What the `error` object of a body or of an event means.
workers::Failure failure_of(const workers::json::Object& error);

}  // namespace katana::claude
