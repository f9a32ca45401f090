#include "loop.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

TEST(Timers, FireInTheirOrder) {
  Loop loop;
  std::vector<int> fired;
  std::vector<std::unique_ptr<Timer>> timers;
  const Nanos now = now_ns();
  for (int i = 0; i < 200; ++i) {
    timers.push_back(std::make_unique<Timer>(loop, [&fired, i] { fired.push_back(i); }));
    timers.back()->at(now - 1'000'000 + (i * 37) % 200);
  }
  for (int i = 0; i < 200; i += 3)
    timers[static_cast<std::size_t>(i)]->cancel();
  loop.turn(0);
  EXPECT_EQ(fired.size(), 133u);
  for (std::size_t i = 1; i < fired.size(); ++i)
    EXPECT_LT((fired[i - 1] * 37) % 200, (fired[i] * 37) % 200);
}

TEST(Timers, MayArmAndCancelFromTheirCallbacks) {
  Loop loop;
  int count = 0;
  std::unique_ptr<Timer> other;
  Timer timer(loop, [&] {
    other->cancel();
    if (++count < 3) timer.in(0);
  });
  other = std::make_unique<Timer>(loop, [&] { ADD_FAILURE() << "was cancelled"; });
  timer.at(now_ns() - 2);
  other->at(now_ns() - 1);
  for (int i = 0; i < 5; ++i)
    loop.turn(kMilli);
  EXPECT_EQ(count, 3);
}

TEST(Loop, WhatIsDeferredRunsOnceATurn) {
  struct Count : Deferred {
    void on_turn_end() override { ++count; }
    int count = 0;
  };
  Loop loop;
  Count count;
  loop.defer(&count);
  loop.defer(&count);
  loop.turn(0);
  loop.turn(0);
  EXPECT_EQ(count.count, 1);
  {
    Count dying;
    loop.defer(&dying);
    loop.undefer(&dying);
  }
  loop.turn(0);
}

}  // namespace
}  // namespace sandbox
