#include "common/service/process_metrics.hpp"

#include <algorithm>

#include "common/service/pages.hpp"

namespace katana::service {

ProcessMetrics::ProcessMetrics(Metrics& m, const std::string& component)
    : resident_(m.gauge("katana_process_resident_memory_bytes", "Resident memory of the process.")),
      cpu_(m.counter("katana_process_cpu_seconds_total", "User and system time of the process.")),
      malformed_(
          m.counter("katana_bus_malformed_frames_total", "Frames that broke the protocol and were dropped.")),
      denied_(m.counter("katana_bus_denied_connections_total", "Connections refused by their key.")),
      started_(m.gauge("katana_process_start_time_seconds", "When the process started, in Unix time.")),
      lag_(m.gauge("katana_loop_lag_seconds", "Longest turn of the loop since the last heartbeat.")),
      ready_(m.gauge("katana_ready", "1 while the process serves, else 0.")),
      healthy_(m.gauge("katana_healthy", "1 while the process judges itself healthy, else 0.")) {
  m.gauge("katana_build_info", "1, labelled by what runs.",
          {{"version", KATANA_VERSION}, {"component", component}})
      .set(1);
}

void ProcessMetrics::started_at(Wall when) {
  started_.set(static_cast<double>(to_unix_ms(when)) / 1000);
}

void ProcessMetrics::update(const bus::Heartbeat& now, const bus::BusCounts& bus) {
  malformed_.add(static_cast<double>(bus.malformed - counted_.malformed));
  denied_.add(static_cast<double>(bus.denied - counted_.denied));
  counted_ = bus;
  resident_.set(static_cast<double>(now.rss_bytes));
  cpu_.add(static_cast<double>(now.cpu_ms - std::min(now.cpu_ms, counted_cpu_ms_)) / 1000);
  counted_cpu_ms_ = now.cpu_ms;
  lag_.set(static_cast<double>(now.loop_lag_ms) / 1000);
  ready_.set(now.state == bus::ServiceState::Ready ? 1 : 0);
  std::string reason;
  healthy_.set(is_healthy(now, reason) ? 1 : 0);
}

}  // namespace katana::service
