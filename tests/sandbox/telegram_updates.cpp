// Updates: how they are queued, polled for, confirmed, or pushed to a webhook.
#include <algorithm>

#include "telegram.hpp"
#include "webhook.hpp"

namespace sandbox {
namespace {

constexpr Nanos kLongestPoll = 50 * kSecond;

bool wanted(const Bot& bot, std::string_view kind) {
  if (!bot.allowed.empty()) return bot.allowed.count(std::string(kind)) > 0;
  return kind != "chat_member" && kind != "message_reaction" && kind != "message_reaction_count";
}

/// Forgets what the offset confirms. A negative one keeps only that many of the newest.
void confirm(Bot& bot, std::int64_t offset) {
  if (offset < 0) {
    const auto keep = static_cast<std::size_t>(-offset);
    while (bot.queue.size() > keep)
      bot.queue.pop_front();
    return;
  }
  while (!bot.queue.empty() && bot.queue.front().id < offset)
    bot.queue.pop_front();
}

bool read_allowed(Call& call) {
  if (!call.params.has("allowed_updates")) return true;
  Json list;
  JsonArray kinds;
  if (!call.params.json("allowed_updates", list) || list.get(kinds) != simdjson::SUCCESS)
    return true;  // as the real one
  call.bot.allowed.clear();
  for (const Json kind : kinds) {
    std::string_view name;
    if (kind.get(name) == simdjson::SUCCESS) call.bot.allowed.emplace(name);
  }
  return true;
}

void get_updates(Call& call) {
  Bot& bot = call.bot;
  if (!bot.webhook_url.empty()) {
    ++bot.conflicts;
    return call.fail(409,
                     "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to "
                     "delete the webhook first");
  }
  if (bot.poll.connection != nullptr) {
    ++bot.conflicts;
    HttpConnection* older = bot.poll.connection;
    bot.poll.connection = nullptr;
    Call old_call{call.telegram, bot, call.params, *older, call.request, nullptr};
    old_call.fail(
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running");
  }
  read_allowed(call);
  Poll& poll = bot.poll;
  poll.offset = call.params.integer("offset").value_or(0);
  poll.limit = call.params.integer("limit").value_or(100);
  if (poll.limit < 1 || poll.limit > 100) poll.limit = 100;
  Nanos timeout = std::clamp<std::int64_t>(call.params.integer("timeout").value_or(0), 0, 1000) * kSecond;
  timeout = std::min(timeout, kLongestPoll);
  const Nanos now = call.request.received;
  if (poll.offset == bot.last_offset && now - bot.last_poll < 3 * kSecond && timeout < 3 * kSecond)
    timeout = 3 * kSecond;
  bot.last_offset = poll.offset;
  bot.last_poll = now;
  confirm(bot, poll.offset);
  poll.connection = &call.connection;
  call.connection.hold(&poll);
  if (!bot.queue.empty() || timeout == 0) return call.telegram.answer_poll(bot);
  if (poll.timer == nullptr)
    poll.timer = std::make_unique<Timer>(bot.loop, [&bot] { bot.telegram.answer_poll(bot); });
  poll.timer->at(now + timeout);
}

void set_webhook(Call& call) {
  Bot& bot = call.bot;
  const std::string_view url = call.params.text("url");
  const std::string_view secret = call.params.text("secret_token");
  if (secret.size() > 256 ||
      secret.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
          std::string_view::npos) {
    return call.bad("secret token contains unallowed characters");
  }
  std::string why;
  if (!url.empty() && !WebhookClient::accepts(url, why)) return call.bad("bad webhook: " + why);
  read_allowed(call);
  if (call.params.flag("drop_pending_updates")) bot.queue.clear();
  bot.webhook.reset();
  bot.webhook_url = url;
  bot.webhook_secret = secret;
  bot.webhook_connections = call.params.integer("max_connections").value_or(40);
  if (!url.empty()) {
    if (bot.poll.connection != nullptr) {
      HttpConnection* older = bot.poll.connection;
      bot.poll.connection = nullptr;
      Call(call.telegram, bot, call.params, *older, call.request, nullptr)
          .fail(409, "Conflict: terminated by setWebhook request");
    }
    bot.webhook = std::make_unique<WebhookClient>(bot);
    bot.webhook->deliver();
  }
  call.connection.json(200, url.empty() ? R"({"ok":true,"result":true,"description":"Webhook was deleted"})"
                                        : R"({"ok":true,"result":true,"description":"Webhook was set"})");
}

void delete_webhook(Call& call) {
  Bot& bot = call.bot;
  if (call.params.flag("drop_pending_updates")) bot.queue.clear();
  const bool was_set = !bot.webhook_url.empty();
  bot.webhook.reset();
  bot.webhook_url.clear();
  bot.webhook_secret.clear();
  call.connection.json(200, was_set
                                ? R"({"ok":true,"result":true,"description":"Webhook was deleted"})"
                                : R"({"ok":true,"result":true,"description":"Webhook is already deleted"})");
}

void get_webhook_info(Call& call) {
  const Bot& bot = call.bot;
  std::string out =
      "{\"url\":" + to_json(bot.webhook_url) +
      ",\"has_custom_certificate\":false,\"pending_update_count\":" + std::to_string(bot.queue.size());
  if (!bot.webhook_url.empty()) out += ",\"max_connections\":" + std::to_string(bot.webhook_connections);
  if (bot.webhook != nullptr && bot.webhook->last_error_date() != 0) {
    out += ",\"last_error_date\":" + std::to_string(bot.webhook->last_error_date()) +
           ",\"last_error_message\":" + to_json(bot.webhook->last_error());
  }
  if (!bot.allowed.empty()) {
    out += ",\"allowed_updates\":[";
    for (const std::string& kind : bot.allowed) {
      if (out.back() != '[') out += ',';
      append_json(out, kind);
    }
    out += ']';
  }
  call.ok(out + "}");
}

}  // namespace

void Telegram::push(Bot& bot, std::string_view kind, std::string_view payload, std::int64_t chat) {
  if (!wanted(bot, kind)) return;
  Update& update = bot.queue.emplace_back();
  update.id = bot.next_update++;
  update.kind = kind;
  update.chat = chat;
  update.json.reserve(payload.size() + kind.size() + 40);
  update.json += "{\"update_id\":";
  append_number(update.json, update.id);
  update.json += ",\"";
  update.json += kind;
  update.json += "\":";
  update.json += payload;
  update.json += '}';
  if (bot.webhook != nullptr) {
    bot.webhook->deliver();
  } else if (bot.poll.connection != nullptr) {
    loop_.defer(&bot);
  }
}

void Telegram::answer_poll(Bot& bot) {
  Poll& poll = bot.poll;
  if (poll.connection == nullptr) return;
  if (poll.timer != nullptr) poll.timer->cancel();
  std::string body = "{\"ok\":true,\"result\":[";
  std::int64_t left = poll.limit;
  for (Update& update : bot.queue) {
    if (left-- == 0) break;
    if (body.back() != '[') body += ',';
    body += update.json;
    if (!update.handed_out && probe_ != nullptr) probe_->on_handed_out(update.chat);
    update.handed_out = true;
  }
  body += "]}";
  HttpConnection* connection = poll.connection;
  poll.connection = nullptr;
  connection->json(200, body);
}

void add_update_methods(MethodTable& table) {
  table["getupdates"] = {get_updates, false, false, {"offset", "limit", "timeout", "allowed_updates"}};
  table["setwebhook"] = {set_webhook,
                         false,
                         false,
                         {"url", "certificate", "ip_address", "max_connections", "allowed_updates",
                          "drop_pending_updates", "secret_token"}};
  table["deletewebhook"] = {delete_webhook, false, false, {"drop_pending_updates"}};
  table["getwebhookinfo"] = {get_webhook_info, false, false, {}};
}

}  // namespace sandbox
