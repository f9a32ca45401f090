#include "flood.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

TEST(Flood, AChatMayBurstAndThenOneASecond) {
  Flood flood;
  Nanos now = 0;
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(flood.charge(5, now), 0);
  EXPECT_GT(flood.charge(5, now), 0);
  EXPECT_EQ(flood.charge(6, now), 0);
  Flood steady;
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(steady.charge(5, now += kSecond), 0);
}

TEST(Flood, EveryCallInAPenaltyProlongsIt) {
  Flood flood;
  Nanos now = 0;
  int wait = 0;
  while (wait == 0)
    wait = flood.charge(5, now);
  for (int i = 0; i < 5; ++i) {
    const int longer = flood.charge(5, now);
    EXPECT_GT(longer, wait);
    wait = longer;
  }
  now += wait * kSecond;
  EXPECT_EQ(flood.charge(5, now), 0);
  EXPECT_EQ(flood.refusals(), 6u);
}

TEST(Flood, AGroupHasTwentyAMinute) {
  Flood flood;
  Nanos now = 0;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(flood.charge(-5, now += kSecond / 20), 0) << i;
  int refused = 0;
  for (int i = 0; i < 2; ++i)
    refused += flood.charge(-5, now) > 0 ? 1 : 0;
  EXPECT_GT(refused, 0);
}

TEST(Flood, TheBotHasThirtyASecond) {
  Flood flood;
  for (int chat = 1; chat <= 30; ++chat)
    EXPECT_EQ(flood.charge(chat, 0), 0);
  EXPECT_GT(flood.charge(31, 0), 0);
}

}  // namespace
}  // namespace sandbox
