#include "common/net/certificates.hpp"

#include <gtest/gtest.h>

namespace katana::net {
namespace {

TEST(Certificates, TheFirstToExpireIsTold) {
  ManualClock clock;
  Certificates seen;
  EXPECT_FALSE(seen.earliest(clock.mono()));
  seen.saw("https://a:443", clock.wall() + Seconds{900}, clock.mono());
  seen.saw("https://b:443", clock.wall() + Seconds{300}, clock.mono());
  ASSERT_TRUE(seen.earliest(clock.mono()));
  EXPECT_EQ(seen.earliest(clock.mono())->endpoint, "https://b:443");
  seen.saw("https://b:443", clock.wall() + Seconds{9'000}, clock.mono());  // renewed
  EXPECT_EQ(seen.earliest(clock.mono())->endpoint, "https://a:443");
  EXPECT_EQ(seen.earliest(clock.mono())->expires, clock.wall() + Seconds{900});
}

TEST(Certificates, WhatIsNotMetAnyMoreIsForgotten) {
  ManualClock clock;
  Certificates seen;
  seen.saw("https://old:443", clock.wall() + Seconds{10}, clock.mono());
  clock.advance(Certificates::kKept + Seconds{1});
  EXPECT_FALSE(seen.earliest(clock.mono()));
  static_assert(Certificates::kConnectionLife * 2 < Certificates::kKept, "what is in use is met in time");
}

TEST(Certificates, TheyAreBounded) {
  ManualClock clock;
  Certificates seen;
  for (std::size_t i = 0; i <= Certificates::kMost; ++i) {
    clock.advance(Millis{1});
    seen.saw("https://" + std::to_string(i) + ":443", clock.wall() + Seconds{static_cast<long>(i)},
             clock.mono());
  }
  EXPECT_EQ(seen.earliest(clock.mono())->endpoint, "https://1:443") << "the one met longest ago made room";
}

}  // namespace
}  // namespace katana::net
