#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

enum class ChatKind { Private, Group, Channel };

struct Sender {
  std::int64_t id = 0;  ///< 0: no user (a channel's post, an anonymous admin)
  bool is_bot = false;
  std::string language;  ///< IETF tag as Telegram tells it, such as "de"
};

/// A message that somebody wrote.
struct IncomingMessage {
  ChatKey chat;
  ChatKind kind = ChatKind::Private;
  std::int64_t message_id = 0;
  Sender from;
  Wall date{};
  Seconds age{0};                     ///< since `date` when it came here, both by Telegram's clock if it told
  std::string text;                   ///< of a text message; empty for any other kind
  std::string caption;                ///< of a photo, document, voice …
  std::string command;                ///< `start` for `/start@our_bot …` at the very beginning; lower case
  std::string command_target;         ///< the username after `@` in the command; empty: none
  std::string arguments;              ///< what follows the command, trimmed
  std::vector<std::string> mentions;  ///< usernames without `@`
  std::int64_t reply_to_user = 0;     ///< author of the message that this one replies to
  bool service = false;               ///< Telegram's own words: somebody joined, a message was pinned
  std::int64_t moved_to = 0;          ///< service: the group goes on as this chat
  std::int64_t moved_from = 0;        ///< service: the group was this chat before
};

struct EditedMessage {};

/// A press on an inline button of ours.
struct ButtonPress {
  std::string id;
  Sender from;
  ChatKey chat;
  ChatKind kind = ChatKind::Private;
  std::int64_t message_id = 0;
  std::string data;
};

/// Our own membership changed in a chat.
struct MembershipChange {
  ChatKey chat;
  bool present = true;  ///< false: kicked, left, or blocked
};

/// The user pressed stop on a draft.
struct StopGeneration {
  ChatKey chat;
  std::int64_t draft_id = 0;
};

/// A kind that we don't handle, or one of ours with a part missing. `what` names the kind or the missing
/// part.
struct UnknownUpdate {
  std::string what;
  bool broken = false;
};

struct Update {
  std::int64_t update_id = 0;
  std::variant<UnknownUpdate, IncomingMessage, EditedMessage, ButtonPress, MembershipChange, StopGeneration>
      body;
};

/// Parses the answer of getUpdates (`{"ok":true,"result":[…]}`), or a webhook's single update object. One bad
/// update doesn't spoil its batch as long as its id can be read: it becomes an UnknownUpdate. Not
/// thread-safe; reuse it. Source: core.telegram.org/bots/api, "Update". Limit: 32 MiB of JSON.
class UpdateParser {
 public:
  UpdateParser();
  ~UpdateParser();
  Result<std::vector<Update>> parse_batch(std::string_view json);
  Result<Update> parse_one(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::gateway
