#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/core/result.hpp"
#include "common/core/secret.hpp"
#include "common/net/http.hpp"

namespace katana::telegram {

/// Formatting as Telegram takes it. `offset` and `length` count UTF-16 code units of the text.
struct Entity {
  std::string type;  ///< bold, italic, underline, strikethrough, spoiler, code, pre, text_link, blockquote …
  std::size_t offset = 0;
  std::size_t length = 0;
  std::string url{};       ///< text_link alone
  std::string language{};  ///< pre alone
  friend bool operator==(const Entity&, const Entity&) = default;
};

/// One inline button: `data` comes back in a callback query (at most 64 bytes).
struct Button {
  std::string text;
  std::string data{};
  std::string url{};
};
using Keyboard = std::vector<std::vector<Button>>;

/// What Telegram's refusals mean for us. Everything else is `Other`, told apart by Error::code.
enum class Refusal {
  Other,
  NotModified,    ///< "message is not modified": the edit is done
  MessageGone,    ///< message to edit or delete isn't there
  ChatGone,       ///< blocked, kicked, deleted, chat not found: stop sending there
  Migrated,       ///< the group has a new id: `migrate_to`
  BadFormatting,  ///< entities or markup refused: send the same text plain
  Conflict,       ///< 409: another poller or a webhook; `webhook_active` tells which
};

struct ApiError {
  Error error;
  Refusal refusal = Refusal::Other;
  int http_status = 0;  ///< 0: no answer came
  std::int64_t migrate_to = 0;
  bool webhook_active = false;
};
template <class T>
using ApiResult = tl::expected<T, ApiError>;

/// The answer to getUpdates as it came (`{"ok":true,"result":[…]}`): gateway/inbound parses updates by
/// itself.
struct RawUpdates {
  std::string json;
  std::optional<Wall> told_at{};  ///< by Telegram's own clock (the Date header)
};

struct BotUser {
  std::int64_t id = 0;
  std::string username;
  std::string first_name;
  bool can_read_all_group_messages = false;
};

/// Text to show. At most 4096 UTF-16 units after entity parsing (Telegram counts; we split before).
struct OutText {
  std::int64_t chat_id = 0;
  std::int64_t thread_id = 0;  ///< message_thread_id; 0: none
  std::int64_t reply_to = 0;   ///< message to answer (allow_sending_without_reply is set); 0: none. send only
  std::string text;
  std::vector<Entity> entities{};
  Keyboard keyboard{};
  bool silent = false;
};

/// The few Bot API methods that we use, as a port: the gateway uses it for the users' bot, the watchdog for
/// the alert bot. Loop thread only. Source: core.telegram.org/bots/api, 10.3. Callbacks come once; a call can
/// be dropped by dropping the HttpCall that is returned.
class BotApi {
 public:
  virtual ~BotApi() = default;
  template <class T>
  using Then = std::function<void(ApiResult<T>)>;

  virtual net::HttpCall get_me(Then<BotUser> then) = 0;
  virtual net::HttpCall get_updates(std::int64_t offset, int limit, Seconds timeout,
                                    Then<RawUpdates> then) = 0;
  virtual net::HttpCall send_message(const OutText& message,
                                     Then<std::int64_t> then) = 0;  ///< its message_id
  virtual net::HttpCall edit_message(std::int64_t message_id, const OutText& message, Then<bool> then) = 0;
  virtual net::HttpCall delete_message(std::int64_t chat_id, std::int64_t message_id, Then<bool> then) = 0;
  virtual net::HttpCall send_draft(std::int64_t draft_id, const OutText& message, Then<bool> then) = 0;
  virtual net::HttpCall send_typing(std::int64_t chat_id, std::int64_t thread_id, Then<bool> then) = 0;
  virtual net::HttpCall answer_callback(const std::string& callback_id, const std::string& text,
                                        Then<bool> then) = 0;
  /// name and description of each command.
  virtual net::HttpCall set_commands(const std::vector<std::pair<std::string, std::string>>& commands,
                                     Then<bool> then) = 0;
  virtual net::HttpCall delete_webhook(Then<bool> then) = 0;
  virtual net::HttpCall set_webhook(const std::string& url, const Secret& secret, Then<bool> then) = 0;
  virtual net::HttpCall pending_updates(
      Then<std::int64_t> then) = 0;  ///< getWebhookInfo.pending_update_count
};

/// Where a bot is reached and as whom.
struct BotAccess {
  std::string api_url = "https://api.telegram.org";
  Secret token;
  Secret proxy{};
};

/// The part of a token before its colon. `token`: of the right format, as the settings check it.
[[nodiscard]] std::int64_t bot_id_of(const Secret& token);

/// BotApi over HTTP.
class HttpBotApi final : public BotApi {
 public:
  HttpBotApi(net::HttpClient& http, BotAccess access) : http_(http), access_(std::move(access)) {}
  /// For the calls from now on.
  void set_token(Secret token) { access_.token = std::move(token); }
  net::HttpCall get_me(Then<BotUser> then) override;
  net::HttpCall get_updates(std::int64_t offset, int limit, Seconds timeout, Then<RawUpdates> then) override;
  net::HttpCall send_message(const OutText& message, Then<std::int64_t> then) override;
  net::HttpCall edit_message(std::int64_t message_id, const OutText& message, Then<bool> then) override;
  net::HttpCall delete_message(std::int64_t chat_id, std::int64_t message_id, Then<bool> then) override;
  net::HttpCall send_draft(std::int64_t draft_id, const OutText& message, Then<bool> then) override;
  net::HttpCall send_typing(std::int64_t chat_id, std::int64_t thread_id, Then<bool> then) override;
  net::HttpCall answer_callback(const std::string& callback_id, const std::string& text,
                                Then<bool> then) override;
  net::HttpCall set_commands(const std::vector<std::pair<std::string, std::string>>& commands,
                             Then<bool> then) override;
  net::HttpCall delete_webhook(Then<bool> then) override;
  net::HttpCall set_webhook(const std::string& url, const Secret& secret, Then<bool> then) override;
  net::HttpCall pending_updates(Then<std::int64_t> then) override;

 private:
  struct Limits {
    Millis total;
    Millis stall;
    std::size_t max_body;
  };
  template <class T>
  using Reader = ApiResult<T> (*)(const net::HttpResponse&);
  template <class T>
  net::HttpCall call(const char* method, std::string body, Reader<T> read, Then<T> then, Limits limits);
  net::HttpCall done_call(const char* method, std::string body, Then<bool> then);

  net::HttpClient& http_;
  BotAccess access_;
};

}  // namespace katana::telegram
