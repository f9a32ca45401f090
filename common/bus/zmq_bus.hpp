#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/bus/port.hpp"
#include "common/loop/loop.hpp"

namespace katana::bus {

/// Where CURVE keys lie (made by `katana keygen`); empty: no keys, which only `ipc://` and nothing else
/// allows. Layout of the directory: `server.public` `server.secret` (gateway), `worker.public`
/// `worker.secret`, `watchdog.public` `watchdog.secret`, and `authorized/` with the public keys that ZAP
/// admits.
/// While the gateway's or the watchdog's pair is replaced, who connects may also have `server.next.public` or
/// `watchdog.next.public`: the two are tried by turns.
struct BusKeys {
  std::filesystem::path directory;
  std::filesystem::path
      secrets{};  ///< where `*.secret` are instead, each that is there (systemd's credentials)
};

/// What went through a bus since its start.
struct BusCounts {
  std::uint64_t received = 0;  ///< messages and heartbeats that were handed on
  std::uint64_t sent = 0;
  std::uint64_t not_sent = 0;   ///< refused by `send`, heartbeats that couldn't be encoded included
  std::uint64_t malformed = 0;  ///< frames that were dropped
  std::uint64_t denied = 0;     ///< connections refused by their key
};

/// The ZeroMQ context of a process, with its one I/O thread, and the sockets over it. One a process, owned by
/// the service; sockets must be gone before it. No other room sees ZeroMQ.
class ZmqBus {
 public:
  ZmqBus(loop::Loop& loop, BusKeys keys);
  ~ZmqBus();
  ZmqBus(const ZmqBus&) = delete;
  ZmqBus& operator=(const ZmqBus&) = delete;

  /// `endpoint`: `ipc://PATH` or `tcp://HOST:PORT` (which needs keys).
  Result<std::unique_ptr<JobServer>> serve_jobs(const std::string& endpoint, JobServer::Handlers handlers);
  Result<std::unique_ptr<JobClient>> connect_jobs(const std::string& endpoint, JobClient::Handlers handlers);
  /// `on_listener`, optional, is called when the watchdog begins to listen: the moment to publish at once,
  /// since what was published before it is lost.
  Result<std::unique_ptr<HeartbeatSink>> connect_heartbeats(const std::string& endpoint,
                                                            std::function<void()> on_listener = {});
  /// The watchdog's end (SUB, binds). Dropping the handle closes it. Frames that don't parse are counted and
  /// dropped.
  Result<std::shared_ptr<void>> serve_heartbeats(const std::string& endpoint,
                                                 std::function<void(Heartbeat)> on_beat);

  /// Reads keys again (SIGHUP). A key that is gone from `authorized/` is refused from its next message on; an
  /// end whose own pair, or the other side's public key, has changed opens its socket anew. What can't be
  /// read stays as it was, and the first such error is told. Nothing to do without keys.
  Result<void> reload_keys();
  [[nodiscard]] BusCounts counts() const;

  /// Makes a deployment's keys in `directory` (0700, files 0600); refuses to overwrite any.
  static Result<std::vector<std::string>> make_keys(const std::filesystem::path& directory);
  /// One more worker's pair, for another machine: authorized here by `name`, and laid into `directory/name`
  /// with all that this machine needs. Returns that folder.
  static Result<std::string> make_worker_keys(const std::filesystem::path& directory,
                                              const std::string& name);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::bus
