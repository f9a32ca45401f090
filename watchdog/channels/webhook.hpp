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
  /// `key`: sent along as `routing_key`, as PagerDuty wants it; may be empty.
  WebhookChannel(net::HttpClient& http, Secret url, Secret key)
      : http_(http), url_(std::move(url)), key_(std::move(key)) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] bool wants(NoticeKind) const override { return true; }
  [[nodiscard]] Pace pace() const override { return {60, Millis{1'000}}; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;
  void probe(std::function<void(Result<void>)> then) override;

 private:
  void post(const Notice& notice, std::function<void(Result<Receipt>)> then);

  const std::string name_ = "webhook";
  net::HttpClient& http_;
  Secret url_;
  Secret key_;
  net::HttpCall call_;
  Result<void> last_{};
};

}  // namespace katana::watchdog
