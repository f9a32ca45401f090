#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/bus/message.hpp"
#include "common/bus/zmq_bus.hpp"
#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "common/net/curl_client.hpp"
#include "common/net/http_server.hpp"
#include "common/service/metrics.hpp"

namespace katana::bus {
class ZmqBus;
}

namespace katana::service {

/// What a program supplies to the skeleton. Each is called on the loop.
struct Hooks {
  /// Builds the rooms and starts work; calls `Service::ready()` when it serves. An error ends the program
  /// (status 1).
  std::function<Result<void>()> start;
  /// SIGTERM/SIGINT: take no new work; call `Service::drained()` when the work in hand is done. Called once.
  /// After `drain_limit` the service goes on without waiting.
  std::function<void()> drain;
  /// The last word: store what is unfinished. Then the process exits 0.
  std::function<void()> stop;
  /// Fills the fields that only the program knows (progress, queue, in flight, last error, health).
  std::function<void(bus::Heartbeat&)> report;
  /// A JSON object whose members /health shows beside its own, such as `{"polling":true}`; optional.
  std::function<std::string()> health_json;
  std::function<void()> reload;  ///< SIGHUP; optional
  /// Extra paths of the process's HTTP server (besides /live /health /ready /metrics); optional.
  net::HttpServer::Handler http;
  /// True: `http` serves /metrics too (the watchdog's, for all processes), with `Service::metrics_text` in
  /// it.
  bool metrics_page = false;
};

/// What a process is, before its loop runs.
struct Identity {
  std::string component;  ///< "gateway", "claude", "openai", "watchdog"
  std::string instance;
  std::string http_address;    ///< empty: no HTTP server
  bool http_optional = false;  ///< an address that can't be had is no reason not to start: tried again
  std::string watch_endpoint;  ///< where heartbeats go; empty: none (the watchdog itself)
  bus::BusKeys keys{};
  Millis drain_limit{20'000};
  std::string disk;  ///< a path on the disk that it writes to; empty: it writes nothing
};

/// The skeleton that every process stands on: signals, Starting → Ready → Draining → Stopped, heartbeats,
/// READY=1 and WATCHDOG=1 for systemd, the hang alarm (`_exit(86)`), metrics, the HTTP server. Owned by
/// `main`; its constructor touches nothing outside but the loop, so that rooms can be built over it before
/// `run`. Loop thread only.
///
/// A second SIGTERM or SIGINT while draining exits at once (status 0 is kept for a clean stop: this one is
/// 130).
class Service {
 public:
  Service(Identity identity, Hooks hooks);
  ~Service();

  /// Runs until stopped; returns the exit status.
  int run();

  void ready();    ///< once: says READY=1, state becomes Ready
  void drained();  ///< the work in hand is done; the process may end
  void stop();     ///< as SIGTERM
  void reload();   ///< as SIGHUP
  /// Ends the process with status 1 after `Hooks::stop`: what it needs cannot be had, and nothing here will
  /// mend it.
  void fail(const Error& error);
  /// For a start that blocks for long and gets on: keeps the hang alarm and whoever watches quiet. Call it as
  /// often as is convenient.
  void still_starting();
  /// Sends a heartbeat now instead of at the next beat: for a change that the watchdog should hear of at
  /// once.
  void beat();

  loop::Loop& loop();
  net::CurlClient& http();
  bus::ZmqBus& bus();
  const Clock& clock() const;
  Metrics& metrics();
  /// The process's own metrics, up to date, as /metrics shows them.
  std::string metrics_text();
  [[nodiscard]] bus::ServiceState state() const;
  [[nodiscard]] const std::string& process_id() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::service
