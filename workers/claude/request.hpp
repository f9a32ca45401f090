#pragma once

#include <string>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"
#include "workers/provider.hpp"

namespace katana::claude {

/// The JSON body of `POST /v1/messages` for a job.
Result<std::string> request_body(const bus::Job& job, const workers::Blobs& blobs);

}  // namespace katana::claude
