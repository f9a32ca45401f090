#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/net/http_server.hpp"
#include "watchdog/status/snapshot.hpp"

namespace katana::watchdog {

/// The page: one static HTML document without outside resources.
extern const char* const kPage;

/// What the watchdog shows over HTTP beside the pages that every process has, all of it read-only: the page,
/// its JSON, its live feed, and the metrics of all processes. Owned by the watchdog; loop thread only.
class Site {
 public:
  static constexpr std::size_t kFeeds = 32;  ///< open live feeds; above it a client polls

  /// `own` gives this process's own metrics.
  Site(std::function<Snapshot()> snapshot, std::function<std::string()> own)
      : snapshot_(std::move(snapshot)), own_(std::move(own)) {}

  net::ServerResponse handle(const net::ServerRequest& request);
  /// Sends the state of things to whoever watches the feed.
  void publish();

 private:
  net::ServerResponse metrics() const;
  net::ServerResponse feed();

  std::function<Snapshot()> snapshot_;
  std::function<std::string()> own_;
  std::vector<std::shared_ptr<net::EventStream>> feeds_;
};

}  // namespace katana::watchdog
