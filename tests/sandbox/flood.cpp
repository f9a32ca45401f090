#include "flood.hpp"

#include <algorithm>

namespace sandbox {
namespace {

constexpr double kChatRate = 1, kChatBurst = 4;
constexpr double kGroupRate = 20.0 / 60, kGroupBurst = 20;
constexpr double kBotRate = 30, kBotBurst = 30;
constexpr int kFirstPenalty = 3;
constexpr int kLongestPenalty = 3600;

int seconds_left(Nanos until, Nanos now) {
  return static_cast<int>((until - now + kSecond - 1) / kSecond);
}

}  // namespace

/// A leaking bucket: true when one more call fits.
bool Flood::pour(Bucket& bucket, double per_second, double burst, Nanos now) {
  const double leaked = static_cast<double>(now - bucket.at) / kSecond * per_second;
  bucket.level = std::max(0.0, bucket.level - leaked);
  bucket.at = now;
  if (bucket.level + 1 > burst) return false;
  bucket.level += 1;
  return true;
}

int Flood::charge(std::int64_t chat, Nanos now) {
  Bucket& mine = chats_[chat];
  for (Bucket* bucket : {&bot_, &mine}) {
    if (bucket->penalty_until <= now) continue;
    const Nanos longer = bucket->penalty_until + kSecond;
    bucket->penalty_until = std::min(longer, now + Nanos{kLongestPenalty} * kSecond);
    ++refusals_;
    return seconds_left(bucket->penalty_until, now);
  }
  const bool group = chat < 0;
  Bucket* full = nullptr;
  if (!pour(bot_, kBotRate, kBotBurst, now)) full = &bot_;
  if (!pour(mine, group ? kGroupRate : kChatRate, group ? kGroupBurst : kChatBurst, now)) full = &mine;
  if (full == nullptr) return 0;
  full->penalty_until = now + Nanos{kFirstPenalty} * kSecond;
  ++refusals_;
  return kFirstPenalty;
}

void Flood::clear() {
  chats_.clear();
  bot_ = Bucket();
  refusals_ = 0;
}

}  // namespace sandbox
