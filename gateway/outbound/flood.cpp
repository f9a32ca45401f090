#include "gateway/outbound/flood.hpp"

#include <algorithm>
#include <unordered_set>

namespace katana::gateway {
namespace {

using Nanos = std::chrono::nanoseconds;

constexpr double kSecond = 1e9;
/// 429s in this many chats within this time mean that the bot itself is limited.
constexpr std::size_t kChatsHit = 3;
constexpr Millis kHitWindow{10'000};
/// Between looks for chats that are at rest.
constexpr Seconds kSweepEvery{10};

Nanos nanos(double n) {
  return Nanos{static_cast<Nanos::rep>(n)};
}

}  // namespace

// Bursts. Bot and group: a tenth and a quarter of the allowance, with the pace slowed so that burst plus pace
// never pass the limit in any second or minute. Chat: three calls, so that placeholder, first text and a
// quick answer's final text needn't wait; Telegram says that it takes short bursts there.
Flood::Flood(config::TelegramLimits limits, Mono start) {
  if (limits.bot_per_second > 0) {
    const double burst = std::max(1.0, limits.bot_per_second / 10);
    bot_rate_.interval = nanos(kSecond / std::max(limits.bot_per_second - burst, limits.bot_per_second / 2));
    bot_rate_.tolerance = nanos((burst - 1) * static_cast<double>(bot_rate_.interval.count()));
  }
  if (limits.chat_per_second > 0) {
    chat_rate_.interval = nanos(kSecond / limits.chat_per_second);
    chat_rate_.tolerance = 2 * chat_rate_.interval;
    chat_rate_.reserve = chat_rate_.interval;
  }
  if (limits.group_per_minute > 0) {
    const double burst = std::max(1.0, limits.group_per_minute / 4);
    group_rate_.interval =
        nanos(60 * kSecond / std::max(limits.group_per_minute - burst, limits.group_per_minute / 2));
    group_rate_.tolerance = nanos((burst - 1) * static_cast<double>(group_rate_.interval.count()));
    group_rate_.reserve = group_rate_.tolerance / 2;
  }
  // Reading pace: faster edits serve nobody, even where no limit is set.
  soft_gap_ = std::max<Nanos>(Seconds{1}, chat_rate_.interval);
  soft_gap_group_ = soft_gap_;
  if (limits.group_per_minute > 0) {
    soft_gap_group_ = std::max(soft_gap_, nanos(2 * 60 * kSecond / limits.group_per_minute));
  }
  // One call at once, as after a pause. Not to a group, whose minute Telegram counts hard: what the process
  // before had left of its burst, plus the pace, plus that call would be one too many.
  bot_rate_.drain(bot_full_, start);
  chat_rate_.drain(unknown_.full, start);
  group_rate_.drain(unknown_.group_full, start + group_rate_.interval);
}

Mono Flood::Rate::free_at(Mono full, Urgency urgency) const {
  if (interval.count() == 0) return Mono::min();
  return full - tolerance + (urgency == Urgency::Soft ? reserve : Nanos{0});
}

void Flood::Rate::take(Mono& full, Mono now) const {
  if (interval.count() > 0) full = std::max(full, now) + interval;
}

void Flood::Rate::drain(Mono& full, Mono until) const {
  full = std::max(full, until + tolerance);
}

Mono Flood::chat_time(std::int64_t chat, bool group, Urgency urgency, Mono now) const {
  const auto it = chats_.find(chat);
  const Chat& c = it == chats_.end() ? unknown_ : it->second;
  Mono at = std::max({now, c.paused, chat_rate_.free_at(c.full, urgency)});
  if (group) at = std::max(at, group_rate_.free_at(c.group_full, urgency));
  if (urgency == Urgency::Soft) at = std::max(at, c.soft_from);
  return at;
}

Mono Flood::bot_time(Mono now) const {
  return std::max({now, bot_paused_, bot_held_, bot_rate_.free_at(bot_full_, Urgency::Must)});
}

Mono Flood::next_time(std::int64_t chat, bool group, Urgency urgency, Mono now) const {
  return std::max(chat_time(chat, group, urgency, now), bot_time(now));
}

void Flood::took(std::int64_t chat, bool group, Urgency urgency, Mono now) {
  took_bot(now);
  if (chats_.size() >= sweep_at_ || now >= sweep_time_) forget_idle(now);
  Chat& c = chat_of(chat);
  chat_rate_.take(c.full, now);
  if (group) group_rate_.take(c.group_full, now);
  if (urgency == Urgency::Soft) c.soft_from = now + (group ? soft_gap_group_ : soft_gap_);
}

void Flood::took_bot(Mono now) {
  bot_rate_.take(bot_full_, now);
}

Flood::Pauses Flood::limited(std::int64_t chat, Millis retry_after, Mono now) {
  const Mono until = pause_chat(chat, now + retry_after);
  while (!hits_.empty() && hits_.front().at + kHitWindow < now)
    hits_.pop_front();
  hits_.push_back({chat, now, until});
  std::unordered_set<std::int64_t> chats;
  Mono latest = until;
  for (const Hit& hit : hits_) {
    chats.insert(hit.chat);
    latest = std::max(latest, hit.until);
  }
  if (chats.size() < kChatsHit) return {until, {}};
  hits_.clear();
  return {until, pause_bot(latest)};
}

Mono Flood::pause_chat(std::int64_t chat, Mono until) {
  Chat& c = chat_of(chat);
  c.paused = std::max(c.paused, until);
  chat_rate_.drain(c.full, until);
  group_rate_.drain(c.group_full, until);
  return c.paused;
}

Mono Flood::pause_bot(Mono until) {
  bot_paused_ = std::max(bot_paused_, until);
  bot_rate_.drain(bot_full_, until);
  return bot_paused_;
}

void Flood::hold_bot(Mono until) {
  bot_held_ = std::max(bot_held_, until);
  bot_rate_.drain(bot_full_, until);
}

void Flood::resume_bot(Mono now) {
  bot_held_ = std::min(bot_held_, now);
  bot_full_ = std::min(bot_full_, std::max(now, bot_paused_) + bot_rate_.tolerance);
}

void Flood::forget_idle(Mono now) {
  for (auto it = chats_.begin(); it != chats_.end();) {
    const Chat& c = it->second;
    const bool idle = c.full <= now && c.group_full <= now && c.soft_from <= now && c.paused <= now;
    it = idle ? chats_.erase(it) : std::next(it);
  }
  sweep_at_ = std::max<std::size_t>(1024, chats_.size() * 2);
  sweep_time_ = now + kSweepEvery;
}

}  // namespace katana::gateway
