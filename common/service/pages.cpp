#include "common/service/pages.hpp"

#include <nlohmann/json.hpp>

namespace katana::service {
namespace {

constexpr int kOk = 200;
constexpr int kUnavailable = 503;

}  // namespace

std::string_view to_string(bus::ServiceState state) {
  switch (state) {
    case bus::ServiceState::Starting:
      return "starting";
    case bus::ServiceState::Ready:
      return "ready";
    case bus::ServiceState::Draining:
      return "draining";
    case bus::ServiceState::Stopped:
      return "stopped";
  }
  return "stopped";
}

bool is_healthy(const bus::Heartbeat& now, std::string& reason) {
  reason = now.unhealthy_reason;
  if (now.state != bus::ServiceState::Ready) {
    if (reason.empty()) reason = to_string(now.state);
    return false;
  }
  if (!now.healthy && reason.empty()) reason = "not healthy";
  return now.healthy;
}

std::string health_json(const bus::Heartbeat& now, const std::string& more) {
  nlohmann::ordered_json out;
  std::string reason;
  out["healthy"] = is_healthy(now, reason);
  out["state"] = to_string(now.state);
  out["reason"] = reason;
  out["component"] = now.component;
  out["instance"] = now.instance;
  out["version"] = now.build;
  out["uptime_seconds"] = now.uptime_ms / 1000;
  out["queue"] = now.queue;
  out["in_flight"] = now.in_flight;
  out["last_error"] = now.last_error;
  std::string all = out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (more.size() > 2) all.replace(all.size() - 1, 1, "," + more.substr(1));  // both are objects
  return all + "\n";
}

std::optional<net::ServerResponse> state_page(std::string_view path, const bus::Heartbeat& now,
                                              const std::string& more) {
  net::ServerResponse out;
  if (path == "/live") {
    out.body = "live\n";  // that it is answered says all: this handler runs on the loop
    return out;
  }
  if (path == "/ready") {
    out.status = now.state == bus::ServiceState::Ready ? kOk : kUnavailable;
    out.body = std::string(to_string(now.state)) + "\n";
    return out;
  }
  if (path == "/health") {
    std::string reason;
    out.status = is_healthy(now, reason) ? kOk : kUnavailable;
    out.content_type = "application/json";
    out.body = health_json(now, more);
    return out;
  }
  return std::nullopt;
}

net::ServerResponse no_such_page() {
  net::ServerResponse out;
  out.status = 404;
  out.body = "No such page. There are /live, /health, /ready and /metrics.\n";
  return out;
}

}  // namespace katana::service
