#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/net/http_server.hpp"
#include "watchdog/duty/desk.hpp"
#include "watchdog/status/gate.hpp"
#include "watchdog/status/history.hpp"
#include "watchdog/status/snapshot.hpp"

namespace katana::watchdog {

/// The page, and what its incidents' runbook links lead to: static HTML without outside resources.
/// `{{nonce}}` in them stands for a word that the Content-Security-Policy names.
extern const char* const kPage;
extern const char* const kRunbook;

/// What the watchdog shows over HTTP beside the pages that every process has: the page, its JSON, its live
/// feed, the metrics of all processes; and for whoever has the token what people on duty can do. Owned by the
/// watchdog; loop thread only.
class Site {
 public:
  static constexpr std::size_t kFeeds = 32;  ///< open live feeds; whoever comes then tries again later

  /// `own` gives this process's own metrics. Without a desk, or with a gate without token, it only shows.
  Site(std::function<Snapshot()> snapshot, std::function<std::string()> own,
       Gate gate = Gate({}, "127.0.0.1:0", "", ""), Desk* desk = nullptr)
      : snapshot_(std::move(snapshot)), own_(std::move(own)), gate_(std::move(gate)), desk_(desk) {}

  net::ServerResponse handle(const net::ServerRequest& request);
  /// Sends the state of things to whoever watches the feed, and what else is new since the last time.
  void publish();

 private:
  net::ServerResponse show(const net::ServerRequest& request);
  net::ServerResponse act(const net::ServerRequest& request);
  net::ServerResponse incident(const net::ServerRequest& request);
  std::optional<net::ServerResponse> refuse(const net::ServerRequest& request);
  net::ServerResponse metrics() const;
  net::ServerResponse feed();
  [[nodiscard]] std::string news(const Snapshot& s);
  void log_stranger(const char* what);

  std::function<Snapshot()> snapshot_;
  std::function<std::string()> own_;
  Gate gate_;
  Desk* desk_;
  std::vector<std::shared_ptr<net::EventStream>> feeds_;
  std::uint64_t told_revision_ = 0;
  std::array<std::int64_t, History::kSpans> told_points_{};
  std::optional<Mono> stranger_logged_{};
};

/// What the processes of an incident wrote last, as a JSON array. People's words may be in it: for the
/// token's owner alone.
std::string last_words_json(const Snapshot& snapshot, const Incident& incident);

}  // namespace katana::watchdog
