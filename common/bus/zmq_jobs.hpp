#pragma once

#include <memory>
#include <string>

#include "common/bus/zmq_socket.hpp"

namespace katana::bus {

/// The two ends of the job protocol over ZeroMQ, for ZmqBus to hand out.
Result<std::unique_ptr<JobServer>> open_job_server(BusContext& bus, const std::string& endpoint,
                                                   JobServer::Handlers handlers);
Result<std::unique_ptr<JobClient>> open_job_client(BusContext& bus, const std::string& endpoint,
                                                   JobClient::Handlers handlers);

}  // namespace katana::bus
