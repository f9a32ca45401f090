#include "watchdog/channels/open.hpp"

#include <charconv>

#include "watchdog/channels/command.hpp"
#include "watchdog/channels/email.hpp"
#include "watchdog/channels/telegram.hpp"
#include "watchdog/channels/webhook.hpp"

namespace katana::watchdog {

std::vector<std::unique_ptr<Channel>> open_channels(loop::Loop& loop, net::HttpClient& http,
                                                    net::MailClient& mail, const config::Settings& settings,
                                                    std::function<void(std::int64_t)> on_moved) {
  const config::Alerts& a = settings.alerts;
  std::vector<std::unique_ptr<Channel>> out;
  if (!a.telegram_token.empty()) {
    std::int64_t chat = 0;
    std::from_chars(a.telegram_chat.data(), a.telegram_chat.data() + a.telegram_chat.size(), chat);
    out.push_back(std::make_unique<TelegramChannel>(
        std::make_unique<telegram::HttpBotApi>(
            http, telegram::BotAccess{settings.telegram.api_url, a.telegram_token, settings.telegram.proxy}),
        chat, !a.ops_users.empty(), std::move(on_moved)));
  }
  if (!a.email_to.empty()) out.push_back(std::make_unique<EmailChannel>(mail, a));
  if (!a.command.empty()) out.push_back(std::make_unique<CommandChannel>(loop, a.command.reveal()));
  if (!a.webhook_url.empty())
    out.push_back(std::make_unique<WebhookChannel>(http, a.webhook_url, a.webhook_key));
  return out;
}

}  // namespace katana::watchdog
