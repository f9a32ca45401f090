#pragma once

#include <string>

#include "common/core/secret.hpp"
#include "common/net/http.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// ALERT_WEBHOOK_URL: each notice as a JSON POST, in the shape of PagerDuty's events (event_action,
/// dedup_key, payload) with all of ours beside. Any 2xx is acceptance.
class WebhookChannel final : public Channel {
 public:
  WebhookChannel(net::HttpClient& http, Secret url) : http_(http), url_(std::move(url)) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;

 private:
  const std::string name_ = "webhook";
  net::HttpClient& http_;
  Secret url_;
  net::HttpCall call_;
};

}  // namespace katana::watchdog
