#pragma once

#include <cstdint>
#include <string>

#include "common/bus/message.hpp"
#include "common/bus/zmq_bus.hpp"
#include "common/service/metrics.hpp"

namespace katana::service {

/// The metrics that every process has, filled from what it says of itself. Owned by the service.
class ProcessMetrics {
 public:
  ProcessMetrics(Metrics& metrics, const std::string& component);
  void started_at(Wall when);
  void update(const bus::Heartbeat& now, const bus::BusCounts& bus);

 private:
  Gauge resident_;
  Counter cpu_, malformed_, denied_;
  Gauge started_, lag_, ready_, healthy_;
  std::uint64_t counted_cpu_ms_ = 0;
  bus::BusCounts counted_;
};

}  // namespace katana::service
