#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/core/clock.hpp"
#include "common/core/secret.hpp"
#include "common/loop/loop.hpp"
#include "common/net/http.hpp"
#include "watchdog/incident/book.hpp"

namespace katana::watchdog {

/// The dead-man switch: asks ALERT_DEADMAN_URL once a minute, and only after a check of the whole chain that
/// an alert takes: a heartbeat comes in through the bus, becomes an incident, its notice is stored and read
/// again, and at least one channel would accept it. Whoever owns the URL tells people when it is no longer
/// asked: then this machine is gone, or nobody here would be told. Owned by the watchdog; loop thread only.
class DeadMan {
 public:
  static constexpr Seconds kEvery{60};
  static constexpr Millis kLimit{45'000};  ///< of one check, the URL's answer included
  static constexpr int kFailures = 2;      ///< in a row, before anybody is told

  /// The links of the chain, as the watchdog has them. Each calls back on the loop.
  struct Chain {
    /// Publishes a heartbeat with that process id to our own end of the bus; `heard` brings it back.
    std::function<void(const std::string& id)> beat;
    /// Whether that notice would get through any channel now: see Delivery::check. Why through none.
    std::function<void(const Notice&, std::function<void(Result<void>)>)> channels;
  };
  struct Events {
    std::function<void(const Error&)> on_failing;  ///< once, until it works again
    std::function<void()> on_working;              ///< after on_failing
  };
  struct Status {
    std::optional<Wall> last_asked;  ///< and answered with 2xx
    std::string last_error;
  };

  DeadMan(loop::Loop& loop, const Clock& clock, net::HttpClient& http, Secret url, Chain chain,
          Events events);
  void start();
  /// An earlier process told that it fails; the next success says that it works.
  void resume_failing() { told_ = true; }
  void replace(Secret url) { url_ = std::move(url); }
  /// A heartbeat of ours has come through.
  void heard(const std::string& id);
  [[nodiscard]] Status status() const { return {last_asked_, last_error_}; }

 private:
  void check();
  void ask();
  void ended(Result<void> outcome);

  loop::Loop& loop_;
  const Clock& clock_;
  net::HttpClient& http_;
  Secret url_;
  Chain chain_;
  Events events_;
  std::string id_;              ///< of the heartbeat that is awaited; empty: none
  std::shared_ptr<int> round_;  ///< of the check that is on: answers of an earlier one come too late
  const char* step_ = "";       ///< what is waited for, for people
  loop::Timer limit_;
  loop::Timer every_;
  net::HttpCall call_;
  int failures_ = 0;
  bool told_ = false;
  std::optional<Wall> last_asked_;
  std::string last_error_;
};

}  // namespace katana::watchdog
