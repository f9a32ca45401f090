#include "gateway/dispatch/watchers.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

class WatchersTest : public testing::Test {
 protected:
  void hello(const bus::PeerId& peer, const std::string& id) {
    EXPECT_TRUE(
        watchers.take(peer, bus::Hello{.role = bus::Role::Watchdog, .worker_id = id, .provider = "watchdog"},
                      clock.mono()));
  }
  /// Ticks for `span`; the news of that time. `beating`: who beats meanwhile.
  std::vector<Watchers::News> pass(Millis span, const std::vector<bus::PeerId>& beating = {}) {
    std::vector<Watchers::News> news;
    for (Millis t{0}; t < span; t += Millis{500}) {
      clock.advance(Millis{500});
      for (const auto& peer : beating)
        watchers.take(peer, bus::Beat{}, clock.mono());
      if (const auto n = watchers.tick(clock.mono())) news.push_back(*n);
    }
    return news;
  }
  ManualClock clock;
  Watchers watchers{clock.mono()};
};

TEST_F(WatchersTest, TakesNothingOfAWorkers) {
  EXPECT_FALSE(watchers.take("p", bus::Hello{.worker_id = "w", .provider = "claude"}, clock.mono()));
  EXPECT_FALSE(watchers.take("p", bus::Beat{}, clock.mono()));
  EXPECT_FALSE(watchers.take("p", bus::Goodbye{}, clock.mono()));
  EXPECT_FALSE(watchers.present());
}

TEST_F(WatchersTest, WhoNeverHadOneIsToldNothing) {
  EXPECT_TRUE(pass(Millis{300'000}).empty());
}

TEST_F(WatchersTest, ADeathIsToldOnceAfterThreeSecondsAndItsEndOnce) {
  hello("p1", "w1");
  EXPECT_TRUE(pass(Millis{60'000}, {"p1"}).empty());
  EXPECT_TRUE(watchers.present());
  EXPECT_TRUE(pass(Millis{2'500}).empty());
  auto news = pass(Millis{500});
  ASSERT_EQ(news.size(), 1u);
  EXPECT_TRUE(news[0].gone);
  EXPECT_FALSE(news[0].goodbye);
  EXPECT_FALSE(watchers.present());
  EXPECT_TRUE(pass(Millis{600'000}).empty());
  hello("p2", "w2");
  news = pass(Millis{5'000}, {"p2"});
  ASSERT_EQ(news.size(), 1u);
  EXPECT_FALSE(news[0].gone);
  EXPECT_EQ(news[0].lasted, Millis{603'500});
}

TEST_F(WatchersTest, OneThatIsReplacedInTimeIsWorthNoWord) {
  hello("p1", "w1");
  pass(Millis{1'000}, {"p1"});
  pass(Millis{2'000});
  hello("p2", "w2");
  EXPECT_TRUE(pass(Millis{60'000}, {"p2"}).empty());
}

TEST_F(WatchersTest, AFreshConnectionIsTheSameOne) {
  hello("p1", "w1");
  hello("p2", "w1");
  EXPECT_TRUE(pass(Millis{60'000}, {"p2"}).empty());
}

TEST_F(WatchersTest, AGoodbyeIsWorthAWordAfterAMinute) {
  hello("p1", "w1");
  pass(Millis{1'000}, {"p1"});
  EXPECT_TRUE(watchers.take("p1", bus::Goodbye{}, clock.mono()));
  EXPECT_TRUE(pass(Millis{59'500}).empty());
  const auto news = pass(Millis{500});
  ASSERT_EQ(news.size(), 1u);
  EXPECT_TRUE(news[0].gone);
  EXPECT_TRUE(news[0].goodbye);
}

TEST_F(WatchersTest, AGoodbyeAndAReturnWithinTheMinuteIsNone) {
  hello("p1", "w1");
  watchers.take("p1", bus::Goodbye{}, clock.mono());
  EXPECT_TRUE(pass(Millis{50'000}).empty());
  hello("p2", "w2");
  EXPECT_TRUE(pass(Millis{60'000}, {"p2"}).empty());
}

TEST_F(WatchersTest, WhatAnEarlierProcessToldIsNotToldAgainButItsEndIs) {
  watchers.resume(clock.mono() - Millis{90'000});
  EXPECT_TRUE(pass(Millis{120'000}).empty());
  hello("p1", "w1");
  const auto news = pass(Millis{500}, {"p1"});
  ASSERT_EQ(news.size(), 1u);
  EXPECT_FALSE(news[0].gone);
  EXPECT_EQ(news[0].lasted, Millis{210'500});
}

TEST_F(WatchersTest, WhomAnEarlierProcessKnewIsMissedAfterAMinute) {
  watchers.expect(clock.mono());
  EXPECT_TRUE(pass(Millis{59'000}).empty());
  const auto news = pass(Millis{2'000});
  ASSERT_EQ(news.size(), 1u);
  EXPECT_TRUE(news[0].gone);
  EXPECT_FALSE(news[0].goodbye);
}

TEST_F(WatchersTest, OneThatComesWithAGatewayIsWorthNoWord) {
  watchers.expect(clock.mono());
  pass(Millis{5'000});
  hello("p1", "w1");
  EXPECT_TRUE(pass(Millis{90'000}, {"p1"}).empty());
}

TEST_F(WatchersTest, WhileOneOfTwoIsHereNobodyIsMissed) {
  hello("p1", "w1");
  hello("p2", "w2");
  EXPECT_TRUE(pass(Millis{60'000}, {"p2"}).empty());
}

TEST_F(WatchersTest, ATickThatCameLateJudgesNobody) {
  hello("p1", "w1");
  pass(Millis{1'000}, {"p1"});
  clock.advance(Millis{10'000});  // a frozen machine
  EXPECT_FALSE(watchers.tick(clock.mono()));
  EXPECT_TRUE(pass(Millis{2'000}).empty());
  EXPECT_TRUE(pass(Millis{5'000}, {"p1"}).empty());
  EXPECT_TRUE(watchers.present());
}

}  // namespace
}  // namespace katana::gateway
