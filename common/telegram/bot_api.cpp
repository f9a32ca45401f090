#include "common/telegram/bot_api.hpp"

#include "common/telegram/answers.hpp"
#include "common/telegram/requests.hpp"

namespace katana::telegram {
namespace {

constexpr Millis kCall{30'000};
constexpr Millis kBeyondThePoll{15'000};  // a poll that never returns ends so long after it should have
constexpr std::size_t kMaxAnswer = 1 << 20;
/// 100 updates with the longest texts, escaped, each quoting another: some 10 MB.
constexpr std::size_t kMaxUpdates = 32 << 20;

/// Nothing that Telegram says should hold the token; its own error texts are not ours to trust with that.
void redact(std::string& text, const Secret& token) {
  if (token.empty()) return;
  const std::string& secret = token.reveal();
  for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
    text.replace(at, secret.size(), token.masked());
  }
}

}  // namespace

std::int64_t bot_id_of(const Secret& token) {
  return std::stoll(token.reveal().substr(0, token.reveal().find(':')));
}

template <class T>
net::HttpCall HttpBotApi::call(const char* method, std::string body, Reader<T> read, Then<T> then,
                               Limits limits) {
  net::HttpRequest request;
  request.url = access_.api_url;
  while (!request.url.empty() && request.url.back() == '/')
    request.url.pop_back();
  request.allow_plain = request.url.rfind("http://", 0) == 0;  // the default isn't: an operator set it so
  request.url.append("/bot").append(access_.token.reveal()).append("/").append(method);
  request.headers.emplace_back("Content-Type: application/json");
  request.body = std::move(body);
  request.proxy = access_.proxy;
  request.total_timeout = limits.total;
  request.stall_timeout = limits.stall;
  request.max_body = limits.max_body;
  net::HttpEvents events;
  events.on_done = [method, read, then = std::move(then),
                    token = access_.token](Result<net::HttpResponse> answer) {
    ApiResult<T> result =
        answer ? read(*answer) : tl::unexpected<ApiError>(ApiError{std::move(answer.error())});
    if (!result) {
      redact(result.error().error.detail, token);
      result.error().error = with_context(std::move(result.error().error), method);
    }
    then(std::move(result));
  };
  return http_.start(std::move(request), std::move(events));
}

net::HttpCall HttpBotApi::get_me(Then<BotUser> then) {
  return call<BotUser>("getMe", "{}", &read_user, std::move(then), {kCall, Millis{0}, kMaxAnswer});
}

net::HttpCall HttpBotApi::get_updates(std::int64_t offset, int limit, Seconds timeout,
                                      Then<RawUpdates> then) {
  const Millis total = timeout + kBeyondThePoll;
  return call<RawUpdates>("getUpdates", get_updates_body(offset, limit, timeout), &read_updates,
                          std::move(then), {total, total, kMaxUpdates});
}

net::HttpCall HttpBotApi::send_message(const OutText& message, Then<std::int64_t> then) {
  return call<std::int64_t>("sendMessage", send_message_body(message), &read_message_id, std::move(then),
                            {kCall, Millis{0}, kMaxAnswer});
}

net::HttpCall HttpBotApi::done_call(const char* method, std::string body, Then<bool> then) {
  return call<bool>(method, std::move(body), &read_done, std::move(then), {kCall, Millis{0}, kMaxAnswer});
}

net::HttpCall HttpBotApi::edit_message(std::int64_t message_id, const OutText& message, Then<bool> then) {
  return done_call("editMessageText", edit_message_body(message_id, message), std::move(then));
}

net::HttpCall HttpBotApi::delete_message(std::int64_t chat_id, std::int64_t message_id, Then<bool> then) {
  return done_call("deleteMessage", delete_message_body(chat_id, message_id), std::move(then));
}

net::HttpCall HttpBotApi::send_draft(std::int64_t draft_id, const OutText& message, Then<bool> then) {
  return done_call("sendMessageDraft", send_draft_body(draft_id, message), std::move(then));
}

net::HttpCall HttpBotApi::send_typing(std::int64_t chat_id, std::int64_t thread_id, Then<bool> then) {
  return done_call("sendChatAction", typing_body(chat_id, thread_id), std::move(then));
}

net::HttpCall HttpBotApi::answer_callback(const std::string& callback_id, const std::string& text,
                                          Then<bool> then) {
  return done_call("answerCallbackQuery", answer_callback_body(callback_id, text), std::move(then));
}

net::HttpCall HttpBotApi::set_commands(const std::vector<std::pair<std::string, std::string>>& commands,
                                       Then<bool> then) {
  return done_call("setMyCommands", commands_body(commands), std::move(then));
}

net::HttpCall HttpBotApi::delete_webhook(Then<bool> then) {
  return done_call("deleteWebhook", "{}", std::move(then));  // waiting updates are kept
}

net::HttpCall HttpBotApi::set_webhook(const std::string& url, const Secret& secret, Then<bool> then) {
  return done_call("setWebhook", webhook_body(url, secret), std::move(then));
}

net::HttpCall HttpBotApi::pending_updates(Then<std::int64_t> then) {
  return call<std::int64_t>("getWebhookInfo", "{}", &read_pending, std::move(then),
                            {kCall, Millis{0}, kMaxAnswer});
}

}  // namespace katana::telegram
