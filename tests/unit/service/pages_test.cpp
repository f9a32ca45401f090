#include "common/service/pages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace katana::service {
namespace {

bus::Heartbeat beat(bus::ServiceState state, bool healthy) {
  bus::Heartbeat b;
  b.component = "gateway";
  b.instance = "gateway";
  b.build = "1";
  b.state = state;
  b.healthy = healthy;
  b.uptime_ms = 61'500;
  b.in_flight = 2;
  return b;
}

TEST(Pages, LiveIsLiveInEveryState) {
  for (const auto state :
       {bus::ServiceState::Starting, bus::ServiceState::Ready, bus::ServiceState::Draining}) {
    EXPECT_EQ(state_page("/live", beat(state, false), "")->status, 200);
  }
}

TEST(Pages, ReadyFollowsTheState) {
  EXPECT_EQ(state_page("/ready", beat(bus::ServiceState::Ready, false), "")->status, 200);
  EXPECT_EQ(state_page("/ready", beat(bus::ServiceState::Starting, true), "")->status, 503);
  EXPECT_EQ(state_page("/ready", beat(bus::ServiceState::Draining, true), "")->body, "draining\n");
}

TEST(Pages, HealthSaysWhyNot) {
  const auto good =
      state_page("/health", beat(bus::ServiceState::Ready, true), R"({"polling":true,"workers":2})");
  EXPECT_EQ(good->status, 200);
  EXPECT_EQ(good->content_type, "application/json");
  EXPECT_EQ(good->body,
            R"({"healthy":true,"state":"ready","reason":"","component":"gateway","instance":"gateway",)"
            R"("version":"1","uptime_seconds":61,"queue":0,"in_flight":2,"last_error":"",)"
            R"("polling":true,"workers":2})"
            "\n");
  auto sick = beat(bus::ServiceState::Ready, false);
  sick.unhealthy_reason = "the \"store\" \xFF fails";
  const auto bad = state_page("/health", sick, "");
  EXPECT_EQ(bad->status, 503);
  EXPECT_THAT(bad->body, testing::HasSubstr("\"healthy\":false"));
  EXPECT_THAT(bad->body, testing::HasSubstr("\"reason\":\"the \\\"store\\\" \xEF\xBF\xBD fails\""));
  EXPECT_THAT(state_page("/health", beat(bus::ServiceState::Starting, true), "")->body,
              testing::HasSubstr("\"reason\":\"starting\""));
}

TEST(Pages, OthersAreNamedWhenTheyAreMissing) {
  EXPECT_FALSE(state_page("/", beat(bus::ServiceState::Ready, true), ""));
  EXPECT_EQ(no_such_page().status, 404);
  EXPECT_THAT(no_such_page().body, testing::HasSubstr("/health"));
}

}  // namespace
}  // namespace katana::service
