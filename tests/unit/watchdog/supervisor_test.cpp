#include "watchdog/supervisor/supervisor.hpp"

#include <csignal>

#include <gtest/gtest.h>

#include "watchdog/supervisor/wire.hpp"

namespace katana::watchdog {
namespace {

using Orders = std::vector<Order>;
Order start(const std::string& name) {
  return {Order::Kind::Start, name};
}
Order kill(const std::string& name, int signo) {
  return {Order::Kind::Signal, name, signo};
}

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() {
    supervisor.plan("claude-1", "claude", now);
    supervisor.plan("gateway", "gateway", now);
  }
  void bring_up(const std::string& name) {
    supervisor.running(name, 100, Millis{0}, now);
    supervisor.ready(name);
  }
  Mono now{std::chrono::hours{1}};
  Supervisor supervisor{[] { return std::uint64_t{0}; }};
};

TEST_F(SupervisorTest, TheGatewayIsReadyBeforeTheOthersStart) {
  EXPECT_EQ(supervisor.orders(now), Orders{start("gateway")});
  supervisor.running("gateway", 100, Millis{0}, now);
  EXPECT_TRUE(supervisor.orders(now).empty());
  supervisor.ready("gateway");
  EXPECT_EQ(supervisor.orders(now), Orders{start("claude-1")});
  EXPECT_TRUE(supervisor.orders(now).empty());
}

TEST_F(SupervisorTest, WorkersDontWaitForABrokenGatewayForEver) {
  supervisor.orders(now);
  now += Supervisor::kPatience;
  EXPECT_EQ(supervisor.orders(now), Orders{start("claude-1")});
}

TEST_F(SupervisorTest, RestartsAtOnceThenEverLaterUpTo30Seconds) {
  supervisor.orders(now);
  bring_up("gateway");
  for (const int wait : {0, 1'000, 2'000, 4'000, 8'000, 16'000, 30'000, 30'000}) {
    EXPECT_EQ(supervisor.exited("gateway", {0, SIGKILL}, now), Run::Due);
    if (wait > 0) {
      now += Millis{wait - 1};
      for (const auto& order : supervisor.orders(now))
        EXPECT_NE(order.name, "gateway");
      now += Millis{1};
    }
    const auto orders = supervisor.orders(now);
    EXPECT_TRUE(std::count(orders.begin(), orders.end(), start("gateway"))) << wait;
    supervisor.running("gateway", 100, Millis{0}, now);
  }
}

TEST_F(SupervisorTest, AMinuteOfHealthForgives) {
  supervisor.orders(now);
  for (int i = 0; i < 5; ++i) {
    bring_up("gateway");
    now += Millis{60'000};
    supervisor.exited("gateway", {1, 0}, now);
    const auto orders = supervisor.orders(now);
    EXPECT_TRUE(std::count(orders.begin(), orders.end(), start("gateway")));
  }
}

TEST_F(SupervisorTest, AStartThatFailsAfterALongLifeBacksOff) {
  supervisor.orders(now);
  bring_up("gateway");
  now += Millis{3'600'000};
  supervisor.exited("gateway", {1, 0}, now);
  supervisor.orders(now);
  // The program is gone: the parent says so at once, without a start in between.
  supervisor.exited("gateway", {127, 0}, now);
  const auto orders = supervisor.orders(now);
  EXPECT_EQ(std::count(orders.begin(), orders.end(), start("gateway")), 0);
}

TEST_F(SupervisorTest, AWorkerThatIsEndedWhileItStartsIsStartedAgain) {
  supervisor.running("claude-1", 100, Millis{0}, now);
  supervisor.heard("claude-1");
  EXPECT_EQ(supervisor.exited("claude-1", {0, 0}, now), Run::Due);
}

TEST_F(SupervisorTest, BadSettingsAndAProviderThatIsOffAreNotRestarted) {
  supervisor.orders(now);
  supervisor.running("gateway", 100, Millis{0}, now);
  EXPECT_EQ(supervisor.exited("gateway", {2, 0}, now), Run::Refused);
  supervisor.running("claude-1", 101, Millis{0}, now);
  EXPECT_EQ(supervisor.exited("claude-1", {0, 0}, now), Run::Off);
  now += Millis{3'600'000};
  EXPECT_TRUE(supervisor.orders(now).empty());
}

TEST_F(SupervisorTest, AServingProcessThatSomebodyStoppedComesBack) {
  supervisor.orders(now);
  bring_up("gateway");
  bring_up("claude-1");
  EXPECT_EQ(supervisor.exited("claude-1", {0, 0}, now), Run::Due);
  EXPECT_EQ(supervisor.orders(now), Orders{start("claude-1")});
}

TEST_F(SupervisorTest, AHungProcessIsAbortedThenKilledThenRestarted) {
  supervisor.orders(now);
  bring_up("gateway");
  bring_up("claude-1");
  supervisor.hung("claude-1", now);
  supervisor.hung("claude-1", now);
  EXPECT_EQ(supervisor.orders(now), Orders{kill("claude-1", SIGABRT)});
  EXPECT_TRUE(supervisor.orders(now).empty());
  now += Supervisor::kAbortLimit;
  EXPECT_EQ(supervisor.orders(now), Orders{kill("claude-1", SIGKILL)});
  EXPECT_TRUE(supervisor.orders(now).empty());
  supervisor.exited("claude-1", {0, SIGKILL}, now);
  EXPECT_EQ(supervisor.orders(now), Orders{start("claude-1")});
}

TEST_F(SupervisorTest, AdoptsWhatRunsAndStartsOnlyTheRest) {
  supervisor.running("gateway", 100, Millis{90'000}, now);
  EXPECT_TRUE(supervisor.orders(now).empty());
  supervisor.ready("gateway");
  EXPECT_EQ(supervisor.orders(now), Orders{start("claude-1")});
}

TEST_F(SupervisorTest, NeverTouchesWhatItDidNotPlan) {
  supervisor.orders(now);
  supervisor.hung("claude-7", now);
  supervisor.exited("claude-7", {0, 9}, now);
  supervisor.running("claude-7", 9, Millis{0}, now);
  EXPECT_TRUE(supervisor.orders(now).empty());
}

TEST(Wire, SurvivesItsLine) {
  const auto there_and_back = [](const FromParent& m) {
    std::string line = to_line(m);
    line.pop_back();
    const auto back = parse_from_parent(line);
    return back ? to_line(*back) : back.error().detail;
  };
  for (const FromParent& m :
       {FromParent{Replaced{Mono{Millis{12}}, {0, 9}}}, FromParent{Planned{"claude-1", "claude"}},
        FromParent{Running{"gateway", 77, Millis{1234}}}, FromParent{Begin{}},
        FromParent{Exited{"gateway", 77, {2, 0}, "KATANA_STORE: no such directory"}},
        FromParent{Exited{"gateway", 77, {0, 6}, ""}}, FromParent{Stopping{}}})
    EXPECT_EQ(there_and_back(m), to_line(m));
  for (const FromWatchdog& m :
       {FromWatchdog{start("gateway")}, FromWatchdog{kill("claude-1", 6)}, FromWatchdog{Alive{}}}) {
    std::string line = to_line(m);
    line.pop_back();
    const auto back = parse_from_watchdog(line);
    ASSERT_TRUE(back);
    EXPECT_EQ(to_line(*back), to_line(m));
  }
}

TEST(Wire, RefusesWhatItDoesNotUnderstand) {
  for (const char* line : {"", " ", "start", "start ", "start a b", "signal x", "signal x y", "signal x -9",
                           "alive now", "signal x 99999999999999999999", "exited", "begin"})
    EXPECT_FALSE(parse_from_watchdog(line)) << line;
  for (const char* line : {"", "exited", "exited gateway", "exited gateway 1 2", "running gateway x 1",
                           "plan x", "begin it", "replaced 1 2", "stopping  "})
    EXPECT_FALSE(parse_from_parent(line)) << line;
}

TEST(Wire, LinesComeWholeHoweverTheyAreCut) {
  const std::string stream = "start gateway\nalive\nsignal claude-1 6\n";
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    Lines lines;
    std::vector<std::string> got;
    for (std::size_t i = 0; i < stream.size(); i += step)
      ASSERT_TRUE(lines.feed(stream.substr(i, step), [&](std::string_view l) { got.emplace_back(l); }));
    EXPECT_EQ(got, (std::vector<std::string>{"start gateway", "alive", "signal claude-1 6"}));
  }
  Lines lines;
  EXPECT_FALSE(lines.feed(std::string(5'000, 'x'), [](std::string_view) {}));
}

}  // namespace
}  // namespace katana::watchdog
