#include "gateway/outbound/flood.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

struct FloodTest : testing::Test {
  Mono now{std::chrono::hours{1}};
  Flood flood{config::TelegramLimits{}, Mono{}};  // long ago: its buckets are full

  /// Calls to `chat` as early as the budget allows; when each went, in ms from now.
  std::vector<std::int64_t> calls(std::int64_t chat, int n, Urgency urgency = Urgency::Must) {
    std::vector<std::int64_t> out;
    Mono t = now;
    for (int i = 0; i < n; ++i) {
      t = flood.next_time(chat, chat < 0, urgency, t);
      flood.took(chat, chat < 0, urgency, t);
      out.push_back(std::chrono::duration_cast<Millis>(t - now).count());
    }
    return out;
  }
};

TEST_F(FloodTest, AChatGetsAShortBurstThenOneASecond) {
  const auto at = calls(1, 6);
  EXPECT_LT(at[2], 100);
  EXPECT_EQ(at[3], 1000);
  EXPECT_EQ(at[4], 2000);
}

TEST_F(FloodTest, SoftCallsKeepTheirDistanceAndLeaveAReserve) {
  calls(1, 1);
  EXPECT_EQ(calls(1, 3, Urgency::Soft), (std::vector<std::int64_t>{0, 1000, 2000}));
  now += Millis{2'001};
  EXPECT_EQ(flood.chat_time(1, false, Urgency::Must, now), now)
      << "the final text needn't wait for the next second";
}

TEST_F(FloodTest, AGroupNeverPassesItsMinute) {
  const auto at = calls(-1, 100);
  for (std::size_t i = 20; i < at.size(); ++i)
    EXPECT_GE(at[i] - at[i - 20], 60'000) << i;
  EXPECT_LE(at.back(), 100 * 4'000);
  flood = Flood({}, Mono{});
  EXPECT_EQ(calls(-2, 4, Urgency::Soft), (std::vector<std::int64_t>{0, 6'000, 12'000, 18'000}));
}

TEST_F(FloodTest, TheBotNeverPassesItsSecond) {
  std::vector<Mono> at;
  Mono t = now;
  for (int chat = 1; chat <= 1000; ++chat) {
    t = flood.next_time(chat, false, Urgency::Must, t);
    flood.took(chat, false, Urgency::Must, t);
    at.push_back(t);
  }
  for (std::size_t i = 30; i < at.size(); ++i)
    EXPECT_GE(at[i] - at[i - 30], Seconds{1}) << i;
  EXPECT_LT(at.back() - now, Seconds{38});
}

TEST_F(FloodTest, APauseHoldsTheChatExactlyAndLeavesNoBurst) {
  flood.limited(1, Millis{7'000}, now);
  EXPECT_EQ(flood.next_time(1, false, Urgency::Must, now), now + Millis{7'000});
  EXPECT_EQ(flood.next_time(2, false, Urgency::Must, now), now);
  EXPECT_EQ(calls(1, 3), (std::vector<std::int64_t>{7'000, 8'000, 9'000}));
}

TEST_F(FloodTest, SeveralChatsHitPauseTheBot) {
  flood.limited(1, Millis{3'000}, now);
  flood.limited(1, Millis{3'000}, now);
  flood.limited(2, Millis{9'000}, now);
  EXPECT_EQ(flood.bot_time(now), now);
  flood.limited(3, Millis{1'000}, now);
  EXPECT_EQ(flood.bot_time(now), now + Millis{9'000});
  flood.resume_bot(now);
  EXPECT_EQ(flood.bot_time(now), now + Millis{9'000}) << "what Telegram asked for isn't ours to end";
  EXPECT_EQ(flood.chat_time(2, false, Urgency::Must, now), now + Millis{9'000});
}

TEST_F(FloodTest, StartsEmptyForWhatWentBeforeIsUnknown) {
  flood = Flood({}, now);
  EXPECT_EQ(calls(1, 4), (std::vector<std::int64_t>{0, 1'000, 2'000, 3'000})) << "one at once, then the pace";
  flood = Flood({}, now);
  EXPECT_EQ(calls(-1, 3), (std::vector<std::int64_t>{4'000, 8'000, 12'000})) << "a group's minute is hard";
  flood = Flood({}, now);
  Mono last = now;
  for (int chat = 1; chat <= 28; ++chat) {
    last = flood.next_time(chat, false, Urgency::Must, last);
    flood.took(chat, false, Urgency::Must, last);
  }
  EXPECT_EQ(std::chrono::round<Millis>(last - now), Millis{1'000});
  now += Seconds{60};
  EXPECT_LT(calls(2, 3)[2], 100) << "the burst has come back";
  EXPECT_LT(calls(-2, 5)[4], 3'000);
}

/// However often we are killed and start again: whatever the time of it, a group's minute holds.
TEST_F(FloodTest, AGroupsMinuteHoldsOverRestarts) {
  std::vector<Mono> at;
  Mono t = now;
  for (int i = 0; i < 200; ++i) {
    if (i % 7 == 0) flood = Flood({}, t);
    t = flood.next_time(-1, true, Urgency::Must, t);
    flood.took(-1, true, Urgency::Must, t);
    at.push_back(t);
    if (i % 50 == 49) t += Seconds{60};  // for a burst
  }
  for (std::size_t i = 20; i < at.size(); ++i)
    EXPECT_GE(at[i] - at[i - 20], Seconds{60}) << i;
}

TEST_F(FloodTest, WhatAnEarlierProcessWasAskedForHolds) {
  flood.pause_chat(1, now + Millis{37'000});
  flood.pause_chat(1, now + Millis{5'000});
  EXPECT_EQ(flood.next_time(1, false, Urgency::Must, now), now + Millis{37'000});
  EXPECT_EQ(flood.next_time(2, false, Urgency::Must, now), now);
  flood.pause_bot(now + Millis{50'000});
  flood.hold_bot(now + Millis{300'000});
  flood.resume_bot(now);
  EXPECT_EQ(flood.next_time(2, false, Urgency::Must, now), now + Millis{50'000});
}

TEST_F(FloodTest, ZeroMeansNoLimitButReadingPaceStays) {
  flood = Flood({0, 0, 0}, now);
  EXPECT_EQ(calls(-1, 1000).back(), 0);
  EXPECT_EQ(calls(2, 2, Urgency::Soft), (std::vector<std::int64_t>{0, 1'000}));
}

TEST_F(FloodTest, ForgetsChatsThatAreAtRest) {
  for (int i = 0; i < 100'000; ++i) {
    now += Millis{40};
    flood.took(i, false, Urgency::Must, now);
  }
  EXPECT_LT(flood.chats(), 2'000u);
  now += Seconds{60};
  flood.took(1, false, Urgency::Must, now);
  EXPECT_EQ(flood.chats(), 1u);
}

}  // namespace
}  // namespace katana::gateway
