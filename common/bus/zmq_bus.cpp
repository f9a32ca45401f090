#include "common/bus/zmq_bus.hpp"

#include <utility>

#include "common/bus/keys.hpp"
#include "common/bus/zmq_heartbeats.hpp"
#include "common/bus/zmq_jobs.hpp"
#include "common/bus/zmq_socket.hpp"

namespace katana::bus {

struct ZmqBus::Impl : BusContext {};

ZmqBus::ZmqBus(loop::Loop& loop, BusKeys keys)
    : impl_(new Impl{BusContext{.loop = loop, .keys = std::move(keys)}}) {}

ZmqBus::~ZmqBus() = default;

Result<std::unique_ptr<JobServer>> ZmqBus::serve_jobs(const std::string& endpoint,
                                                      JobServer::Handlers handlers) {
  return open_job_server(*impl_, endpoint, std::move(handlers));
}

Result<std::unique_ptr<JobClient>> ZmqBus::connect_jobs(const std::string& endpoint,
                                                        JobClient::Handlers handlers) {
  return open_job_client(*impl_, endpoint, std::move(handlers));
}

Result<std::unique_ptr<HeartbeatSink>> ZmqBus::connect_heartbeats(const std::string& endpoint,
                                                                  std::function<void()> on_listener) {
  return open_heartbeat_sink(*impl_, endpoint, std::move(on_listener));
}

Result<std::shared_ptr<void>> ZmqBus::serve_heartbeats(const std::string& endpoint,
                                                       std::function<void(Heartbeat)> on_beat) {
  return open_heartbeat_source(*impl_, endpoint, std::move(on_beat));
}

Result<void> ZmqBus::reload_keys() {
  // One that can't be read holds up no other.
  Result<void> first = impl_->zap ? impl_->zap->reload() : Result<void>();
  for (KeyedEnd* end : impl_->ends) {
    auto read = end->read_keys_again();
    if (!read && first) first = std::move(read);
  }
  return first;
}

BusCounts ZmqBus::counts() const {
  BusCounts counts = impl_->counts;
  counts.denied = impl_->zap ? impl_->zap->denied() : 0;
  return counts;
}

Result<std::vector<std::string>> ZmqBus::make_keys(const std::filesystem::path& directory) {
  return bus::make_keys(directory);
}

Result<std::string> ZmqBus::make_worker_keys(const std::filesystem::path& directory,
                                             const std::string& name) {
  return bus::make_worker_keys(directory, name);
}

}  // namespace katana::bus
