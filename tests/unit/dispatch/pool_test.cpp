#include "gateway/dispatch/pool.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

bus::Hello hello(std::string id, std::string provider = "claude") {
  return {.worker_id = std::move(id), .provider = std::move(provider)};
}

TEST(Pool, PicksTheLeastBusyWithRoom) {
  Pool pool;
  ManualClock clock;
  pool.add("p1", hello("w1"), clock.mono()).window = 2;
  pool.add("p2", hello("w2"), clock.mono()).window = 2;
  pool.add("p3", hello("w3", "openai"), clock.mono()).window = 9;
  pool.find("p1")->outstanding = {1};
  EXPECT_EQ(pool.pick("claude")->worker_id, "w2");
  pool.find("p2")->outstanding = {2, 3};
  EXPECT_EQ(pool.pick("claude")->worker_id, "w1");
  pool.find("p1")->outstanding.insert(4);
  EXPECT_EQ(pool.pick("claude"), nullptr) << "credit is never exceeded";
  pool.find("p1")->window = 0;
  EXPECT_EQ(pool.find("p1")->room(), 0u);
  EXPECT_EQ(pool.count("claude"), 2);
}

TEST(Pool, JudgesSilenceAndClosedConnections) {
  Pool pool;
  ManualClock clock;
  pool.add("p1", hello("w1"), clock.mono());
  pool.add("p2", hello("w2"), clock.mono()).unreachable_since = clock.mono();
  clock.advance(Pool::kComeBackWithin);
  pool.find("p1")->last_seen = clock.mono();
  EXPECT_EQ(pool.gone(clock.mono()), std::vector<bus::PeerId>{"p2"});
  pool.remove("p2");
  clock.advance(Pool::kGoneAfter - Millis{1});
  EXPECT_TRUE(pool.gone(clock.mono()).empty());
  clock.advance(Millis{1});
  EXPECT_EQ(pool.gone(clock.mono()).size(), 1u);
}

}  // namespace
}  // namespace katana::gateway
