#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/bus/zmq_socket.hpp"

namespace katana::bus {

/// The two ends of the heartbeats over ZeroMQ, for ZmqBus to hand out.
Result<std::unique_ptr<HeartbeatSink>> open_heartbeat_sink(BusContext& bus, const std::string& endpoint,
                                                           std::function<void()> on_listener);
Result<std::shared_ptr<void>> open_heartbeat_source(BusContext& bus, const std::string& endpoint,
                                                    std::function<void(Heartbeat)> on_beat);

}  // namespace katana::bus
