#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/telegram/bot_api.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// Alerts to the ops chat, by the alert bot: another bot than the users', with limits of its own. The
/// resolution answers the first message of its incident.
class TelegramChannel final : public Channel {
 public:
  /// `buttons`: somebody is listed who may press them. `on_moved`: the group has that id now.
  TelegramChannel(std::unique_ptr<telegram::BotApi> api, std::int64_t chat_id, bool buttons,
                  std::function<void(std::int64_t)> on_moved = {})
      : api_(std::move(api)), chat_id_(chat_id), buttons_(buttons), on_moved_(std::move(on_moved)) {}
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
  std::function<void(std::int64_t)> on_moved_;
  net::HttpCall call_;
  net::HttpCall probe_;
};

}  // namespace katana::watchdog
