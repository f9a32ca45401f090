#pragma once

#include <memory>
#include <string>

#include "common/telegram/bot_api.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// Alerts to the ops chat, by the alert bot: another bot than the users', with limits of its own. The
/// resolution answers the first message of its incident.
class TelegramChannel final : public Channel {
 public:
  /// `buttons`: somebody is listed who may press them.
  TelegramChannel(std::unique_ptr<telegram::BotApi> api, std::int64_t chat_id, bool buttons)
      : api_(std::move(api)), chat_id_(chat_id), buttons_(buttons) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  /// A group takes 20 messages a minute; some are left for answers to people.
  [[nodiscard]] Pace pace() const override { return {15, Millis{4'000}}; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;
  void probe(std::function<void(Result<void>)> then) override;

 private:
  const std::string name_ = "telegram";
  std::unique_ptr<telegram::BotApi> api_;
  std::int64_t chat_id_;
  bool buttons_;
  net::HttpCall call_;
  net::HttpCall probe_;
};

}  // namespace katana::watchdog
