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
  TelegramChannel(std::unique_ptr<telegram::BotApi> api, std::int64_t chat_id)
      : api_(std::move(api)), chat_id_(chat_id) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;

 private:
  const std::string name_ = "telegram";
  std::unique_ptr<telegram::BotApi> api_;
  std::int64_t chat_id_;
  net::HttpCall call_;
};

}  // namespace katana::watchdog
