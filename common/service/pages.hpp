#pragma once

#include <optional>
#include <string>

#include "common/bus/message.hpp"
#include "common/net/http_server.hpp"

namespace katana::service {

/// "starting", "ready", "draining", "stopped"
std::string_view to_string(bus::ServiceState state);

/// Whether monitors should be content, and why not: ready, and healthy by its own judgement.
bool is_healthy(const bus::Heartbeat& now, std::string& reason);

/// /health's body: one JSON object, with the members of `more`, another one (or empty), at its end.
std::string health_json(const bus::Heartbeat& now, const std::string& more);

/// /live, /health and /ready, from what the process says of itself now; nullopt for other paths. Pure.
std::optional<net::ServerResponse> state_page(std::string_view path, const bus::Heartbeat& now,
                                              const std::string& more);

/// The answer for a path that nobody serves.
net::ServerResponse no_such_page();

}  // namespace katana::service
