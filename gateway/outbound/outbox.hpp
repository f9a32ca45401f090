#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/telegram/bot_api.hpp"
#include "gateway/outbound/alarm.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// Where an answer is shown: an opened turn, fresh or found again at start.
struct AnswerSlot {
  std::int64_t turn_id = 0;
  std::string job_id{};
  ChatKey chat{};
  std::int64_t question_id = 0;  ///< the question's message_id: groups see the answer as a reply to it
  bool group = false;
  std::vector<AnswerPart> parts{};  ///< as the store knows them; part 1 is the placeholder's row
  telegram::Keyboard keyboard{};    ///< under the last message while the answer grows; may be empty
  bool recovered = false;           ///< found at start: an earlier process may have sent something
};

/// How an answer ends.
struct FinalText {
  std::string text;               ///< Markdown; the whole answer, or the words about a failure
  std::string footer{};           ///< plain line under the last part; cut at 256 UTF-16 units
  telegram::Keyboard keyboard{};  ///< under the last part; may be empty
};

/// What the outbox tells the gateway. Each may be empty. Called on the loop, possibly from inside a call to
/// the outbox.
struct OutboxEvents {
  /// Every part shows the final text and the store has applied it (or the answer can't be shown: `abandoned`
  /// says why).
  std::function<void(std::int64_t turn_id, const std::string& abandoned)> on_delivered{};
  /// The first characters of the answer are at Telegram.
  std::function<void(std::int64_t turn_id, Mono when)> on_first_text{};
  /// A reply is delivered, or given up.
  std::function<void(std::int64_t outbox_id, const std::string& abandoned)> on_reply_done{};
  /// Blocked, kicked or deleted: nothing can be sent there. Its open answers are abandoned when they finish.
  std::function<void(std::int64_t chat_id)> on_chat_gone{};
  std::function<void(std::int64_t from, std::int64_t to)> on_migrated{};
  /// A call failed; it is tried again unless the code says otherwise. `doing`: "edit in chat 5,
  /// job k7m2", "store part_sent" …
  std::function<void(const Error&, std::string_view doing)> on_error{};
};

struct OutboxConfig {
  config::TelegramLimits limits{};
  config::Streaming streaming = config::Streaming::Edit;
  config::Uncertain uncertain = config::Uncertain::Resend;
  std::size_t max_calls = 64;  ///< to Telegram at once
  /// What KATANA_UNCERTAIN=ask says in the place of a message that may have arrived, and on its button.
  std::string uncertain_note =
      "A message for you may not have arrived: Telegram didn't say. Can't you see it?";
  std::string uncertain_button = "Show it again";
};

/// For the heartbeat and the metrics.
struct OutboxLoad {
  std::size_t answers = 0;         ///< turns open here
  std::size_t chats = 0;           ///< chats that anything waits for
  std::size_t paced = 0;           ///< chats whose limits are in use, and some that were a moment ago
  std::size_t queue = 0;           ///< messages that wait for their first send or their final text
  std::size_t in_flight = 0;       ///< calls under way
  Millis oldest_wait{0};           ///< see README.md: the oldest question that nobody has seen an answer to
  std::uint64_t calls = 0;         ///< answered by Telegram since start
  std::uint64_t rate_limited = 0;  ///< 429 since start
  bool held = false;               ///< Telegram refuses the token: see `resume`
};

/// Shows answers and replies: owns every message that the users' bot writes, from its placeholder to its
/// final text, at the pace that Telegram allows. Owned by the gateway's wiring; loop thread only. Nothing is
/// sent before its row is durable: call `open` and `reply` from the store's `durable`. README.md says what is
/// promised about order and repeats.
class Outbox {
 public:
  Outbox(telegram::BotApi& api, Store& store, const Clock& clock, Alarm& alarm, OutboxConfig config,
         OutboxEvents events);
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // An unknown turn_id is ignored in all of these: it may have been delivered or abandoned already.
  /// Sends the placeholder. Once a turn.
  void open(AnswerSlot slot);
  /// More of the answer's text.
  void grow(std::int64_t turn_id, std::string_view piece);
  /// The whole text so far, in the place of what was there.
  void replace(std::int64_t turn_id, std::string_view whole);
  /// A new attempt: the text begins again. What is shown stays until there is new text.
  void restart(std::int64_t turn_id);
  /// The last word (the settlement's `durable`). `on_delivered` follows.
  void finish(std::int64_t turn_id, FinalText final);

  /// A reply whose row is durable. `attempted`: an earlier process began a send whose end is unknown.
  void reply(ChatKey chat, std::int64_t outbox_id, Reply reply, bool attempted = false);
  /// With KATANA_UNCERTAIN=ask: the button `again:ID` was pressed (`ID` as in the button). False: nothing
  /// known of it.
  bool again(std::int64_t id);
  /// "typing…", if the limits have room for it now and no message of ours stands there that says as much;
  /// else dropped.
  void typing(ChatKey chat);
  /// Answers a pressed button: it waits for the bot's budget, not for its chat's, and is dropped when it
  /// comes too late or fails.
  void answer_press(std::string press_id, std::string text);

  /// A group goes on under another id, as the store knows already; `on_migrated` follows, once.
  void chat_moved(std::int64_t from, std::int64_t to);

  /// What is left of a pause that Telegram asked an earlier process for; chat 0: of the whole bot.
  void pause(std::int64_t chat_id, Millis left);
  /// After a refused token (401): go on now. Without it one call is tried every 5 minutes.
  void resume();

  [[nodiscard]] OutboxLoad load() const;
  /// No reply waits, no finished answer is undelivered, no call and no store operation is under way.
  [[nodiscard]] bool idle() const;
  /// Calls `fn` once, as soon as idle (from inside, if it is now).
  void when_idle(std::function<void()> fn);
  /// Drops every call under way; nothing more is sent and no event follows. What is unfinished stays in the
  /// store.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::gateway
