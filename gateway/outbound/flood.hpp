#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"

namespace katana::gateway {

/// How much a call matters. `Must`: first sends, first text, final text, replies. `Soft`: what a later call
/// makes superfluous (edits while an answer grows, typing); it leaves a reserve for the others, and keeps its
/// distance.
enum class Urgency { Must, Soft };

/// One budget for every call to Telegram: by bot, by chat, by group, and the pauses that a 429 asks for.
/// Pure: time is given. Owned by the outbox, which asks `next_time` before a call and tells `took` when it
/// makes it.
///
/// Every limit is one number, the time at which its bucket will be full again (the generic cell rate
/// algorithm), so what `next_time` names is exactly when `took` is right. The buckets start empty: what an
/// earlier process sent a moment ago counts at Telegram, and nobody here knows of it.
class Flood {
 public:
  Flood(config::TelegramLimits limits, Mono start);

  /// When a call to this chat may be made, as far as the chat itself goes: `now` or later.
  [[nodiscard]] Mono chat_time(std::int64_t chat, bool group, Urgency urgency, Mono now) const;
  /// The same for the bot.
  [[nodiscard]] Mono bot_time(Mono now) const;
  [[nodiscard]] Mono next_time(std::int64_t chat, bool group, Urgency urgency, Mono now) const;

  /// A call is being made.
  void took(std::int64_t chat, bool group, Urgency urgency, Mono now);
  /// A call that goes to no chat.
  void took_bot(Mono now);

  /// 429: nothing goes to this chat for as long as it asks; and nothing at all when several chats were hit in
  /// a short time.
  struct Pauses {
    Mono chat{};
    std::optional<Mono> bot{};
  };
  Pauses limited(std::int64_t chat, Millis retry_after, Mono now);
  /// The same, as it was asked for before our start; and until when.
  Mono pause_chat(std::int64_t chat, Mono until);
  Mono pause_bot(Mono until);
  /// Nothing at all until then by our own choice: the network is down, or the token was refused.
  void hold_bot(Mono until);
  /// Ends what `hold_bot` began (not a pause that Telegram asked for).
  void resume_bot(Mono now);

  /// Chats that are remembered: those with a limit in use.
  [[nodiscard]] std::size_t chats() const { return chats_.size(); }

 private:
  using Nanos = std::chrono::nanoseconds;
  struct Rate {
    Nanos interval{0};   ///< one call in this time; 0: no limit
    Nanos tolerance{0};  ///< how far ahead of that pace a burst may run
    Nanos reserve{0};    ///< the part of the tolerance that Soft calls leave
    [[nodiscard]] Mono free_at(Mono full, Urgency urgency) const;
    void take(Mono& full, Mono now) const;
    /// After a pause that ends at `until`: one call, then the pace, no burst.
    void drain(Mono& full, Mono until) const;
  };
  struct Chat {
    Mono full{};
    Mono group_full{};
    Mono soft_from{};
    Mono paused{};
  };
  struct Hit {
    std::int64_t chat;
    Mono at;
    Mono until;
  };
  void forget_idle(Mono now);
  Chat& chat_of(std::int64_t chat) { return chats_.try_emplace(chat, unknown_).first->second; }

  Rate bot_rate_, chat_rate_, group_rate_;
  Chat unknown_;  ///< a chat that nothing went to since the start
  Nanos soft_gap_, soft_gap_group_;
  Mono bot_full_{};
  Mono bot_paused_{};
  Mono bot_held_{};
  std::unordered_map<std::int64_t, Chat> chats_;
  std::deque<Hit> hits_;
  std::size_t sweep_at_ = 1024;
  Mono sweep_time_{};
};

}  // namespace katana::gateway
