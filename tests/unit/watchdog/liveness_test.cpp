#include <gtest/gtest.h>

#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {
namespace {

using bus::ServiceState;

class RosterTest : public testing::Test {
 protected:
  static bus::Heartbeat make(const std::string& instance, ServiceState state = ServiceState::Ready) {
    bus::Heartbeat b;
    b.component = instance.substr(0, instance.find('-'));
    b.instance = instance;
    b.process_id = instance + "/a";
    b.pid = 100;
    b.state = state;
    return b;
  }
  /// Ticks every 250 ms for `span`, with beats of `beating` every 500 ms.
  Roster::Changes pass(Millis span, const std::vector<bus::Heartbeat>& beating = {}) {
    Roster::Changes all;
    for (Millis t{0}; t < span; t += Millis{250}) {
      now += Millis{250};
      if (t.count() % 500 == 250)
        for (const auto& b : beating)
          append(all, roster.beat(b, now));
      append(all, roster.tick(now));
    }
    return all;
  }
  static void append(Roster::Changes& to, const Roster::Changes& from) {
    to.insert(to.end(), from.begin(), from.end());
  }
  State state(const std::string& instance) { return roster.find(instance)->state; }

  Mono now{std::chrono::hours{1}};
  Presence presence = Presence::Unknown;
  Roster roster{Limits{}, [this](const bus::Heartbeat&) { return presence; }, now};
};

TEST(StateTable, IsTotalAndKeepsItsRules) {
  for (std::size_t s = 0; s < kStates; ++s) {
    const auto state = static_cast<State>(s);
    EXPECT_EQ(next(state, Event::BeatReady), State::Up);
    EXPECT_EQ(next(state, Event::BeatDraining), State::Draining);
    EXPECT_EQ(next(state, Event::Launched), State::Starting);
    EXPECT_EQ(next(state, Event::Exited), State::Down);
    EXPECT_EQ(next(state, Event::Goodbye), State::Down);
    for (std::size_t e = 0; e < kEvents; ++e)
      EXPECT_NE(next(state, static_cast<Event>(e)), State::Unknown == state ? State::Late : State::Unknown);
  }
  for (const Event e : {Event::Quiet, Event::Silent, Event::Frozen})
    EXPECT_EQ(next(State::Down, e), State::Down);
  EXPECT_EQ(next(State::Up, Event::Quiet), State::Late);
  EXPECT_EQ(next(State::Draining, Event::Quiet), State::Draining);
}

TEST_F(RosterTest, BeatsKeepItUp) {
  const auto changes = pass(Millis{60'000}, {make("claude-1")});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, State::Up);
}

TEST_F(RosterTest, SilenceIsLateThenDown) {
  pass(Millis{2'000}, {make("claude-1")});
  const auto changes = pass(Millis{4'000});
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].to, State::Late);
  EXPECT_EQ(changes[1].to, State::Down);
  EXPECT_EQ(changes[1].why, "no heartbeat for 2.7 s");
}

TEST_F(RosterTest, AGoodbyeOfAStartThatFailedIsNoGoodOrder) {
  auto b = make("gateway");
  b.state = bus::ServiceState::Starting;
  roster.beat(b, now);
  b.state = bus::ServiceState::Stopped;
  auto asked_to = roster.beat(b, now);
  ASSERT_EQ(asked_to.size(), 1u);
  EXPECT_TRUE(asked_to[0].goodbye);

  b.state = bus::ServiceState::Starting;
  b.process_id = "another";
  roster.beat(b, now);
  b.state = bus::ServiceState::Stopped;
  b.last_error = "the store is damaged";
  const auto failed = roster.beat(b, now);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].to, State::Down);
  EXPECT_FALSE(failed[0].goodbye);
  EXPECT_EQ(failed[0].why, "it can't start");
}

TEST_F(RosterTest, ABeatThatWasOvertakenIsOldNewsAndADoubledOneNone) {
  auto starting = make("claude-1", ServiceState::Starting);
  starting.seq = 1;
  auto ready = make("claude-1");
  ready.seq = 2;
  roster.beat(ready, now);
  EXPECT_TRUE(roster.beat(starting, now).empty());
  EXPECT_TRUE(roster.beat(ready, now).empty());
  EXPECT_EQ(state("claude-1"), State::Up);
  pass(Millis{1'000});
  EXPECT_TRUE(roster.beat(starting, now).empty());
  pass(Millis{750});
  EXPECT_EQ(state("claude-1"), State::Late) << "nor is it a sign of life";
  auto successor = starting;
  successor.process_id = "claude-1/b";
  EXPECT_FALSE(roster.beat(successor, now).empty()) << "another process counts anew";
  ready.seq = 3;
  EXPECT_TRUE(roster.beat(ready, now).empty()) << "a late word of the one before";
  EXPECT_EQ(roster.find("claude-1")->restarts, 1);
  pass(Millis{3'000}, {successor});
  ready.seq = 4;
  EXPECT_TRUE(roster.beat(ready, now).empty());
  EXPECT_TRUE(roster.find("claude-1")->namesake) << "no longer late: there are two of that name";
}

TEST_F(RosterTest, SilenceOfAProcessThatIsThereIsHung) {
  presence = Presence::There;
  pass(Millis{2'000}, {make("claude-1")});
  EXPECT_EQ(pass(Millis{4'000}).back().to, State::Hung);
  EXPECT_EQ(roster.beat(make("claude-1"), now).back().to, State::Up);
}

TEST_F(RosterTest, WorkWithoutProgressIsHungThoughItBeats) {
  auto b = make("claude-1");
  b.in_flight = 3;
  b.progress = 7;
  auto changes = pass(Millis{179'000}, {b});
  EXPECT_EQ(changes.size(), 1u);
  changes = pass(Millis{3'000}, {b});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, State::Hung);
  EXPECT_NE(changes[0].why.find("no progress for 180"), std::string::npos);
  EXPECT_TRUE(pass(Millis{5'000}, {b}).empty());
  b.progress = 8;
  EXPECT_EQ(roster.beat(b, now).back().to, State::Up);
}

TEST_F(RosterTest, AStartMayBlockForAWhileAndMayTakeLongButMustGetOn) {
  auto b = make("gateway", ServiceState::Starting);
  roster.beat(b, now);
  EXPECT_TRUE(pass(Millis{29'000}).empty()) << "it may read from a slow disk";
  for (int step = 0; step < 100; ++step) {
    ++b.progress;
    EXPECT_TRUE(pass(Millis{5'000}, {b}).empty()) << "it copies a large store";
  }
  EXPECT_TRUE(pass(Millis{175'000}, {b}).empty());
  const auto changes = pass(Millis{10'000}, {b});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, State::Hung);
  EXPECT_NE(changes[0].why.find("no progress for 180.0 s of its start"), std::string::npos) << changes[0].why;

  b.state = ServiceState::Ready;
  b.in_flight = 5;
  EXPECT_EQ(roster.beat(b, now).back().to, State::Up) << "ready after all: that is progress";
}

TEST_F(RosterTest, OneThatHangsElsewhereAndFallsSilentIsGone) {
  auto b = make("claude-1");
  b.in_flight = 1;
  pass(Millis{181'000}, {b});
  ASSERT_EQ(state("claude-1"), State::Hung);
  EXPECT_EQ(pass(Millis{4'000}).back().to, State::Down);
}

TEST_F(RosterTest, NothingUnderWayIsNoHangHoweverLong) {
  auto b = make("claude-1");
  b.queue = 5;
  EXPECT_EQ(pass(Millis{600'000}, {b}).size(), 1u);
}

TEST_F(RosterTest, AnExitThatTheKernelTellsIsKnownAtOnceUnlessItSaidGoodbye) {
  auto b = make("claude-1");
  b.pid = 100;
  roster.beat(b, now);
  EXPECT_TRUE(roster.vanished("claude-1", 99, now).empty()) << "its predecessor";
  EXPECT_TRUE(roster.vanished("claude-2", 100, now).empty());
  const auto changes = roster.vanished("claude-1", 100, now);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, State::Down);
  EXPECT_TRUE(roster.beat(b, now).empty()) << "a beat that was still under way";
  EXPECT_FALSE(roster.find("claude-1")->said_goodbye);
  auto bye = b;
  bye.state = ServiceState::Stopped;
  EXPECT_TRUE(roster.beat(bye, now).empty());
  EXPECT_TRUE(roster.find("claude-1")->said_goodbye) << "its last word came behind the news of its end";
  b.pid = 101;
  b.process_id = "another";
  EXPECT_EQ(roster.beat(b, now).back().to, State::Up);
  b.state = ServiceState::Stopped;
  roster.beat(b, now);
  EXPECT_TRUE(roster.vanished("claude-1", 101, now).empty());
}

TEST_F(RosterTest, OurOwnSleepProvesNothing) {
  pass(Millis{2'000}, {make("claude-1"), make("gateway")});
  now += Millis{20'000};
  EXPECT_TRUE(roster.tick(now).empty());
  // The others need a moment after a thaw as well.
  EXPECT_TRUE(pass(Millis{500}).empty());
  EXPECT_TRUE(pass(Millis{2'000}, {make("claude-1"), make("gateway")}).empty());
}

TEST_F(RosterTest, WhatWeWereLateForIsNoSilenceOfTheirs) {
  pass(Millis{2'000}, {make("claude-1")});
  const Mono heard = roster.find("claude-1")->heard;
  now = roster.due() + Millis{900};  // less than a sleep
  EXPECT_TRUE(roster.tick(now).empty());
  EXPECT_EQ(roster.due(), now + Roster::kAgain);
  EXPECT_EQ(roster.find("claude-1")->heard, heard + Millis{900});
}

TEST_F(RosterTest, TicksComeWhenASilenceComesToItsLimit) {
  now = roster.due();
  roster.tick(now);
  EXPECT_EQ(roster.due(), now + Roster::kTick);
  roster.beat(make("claude-1"), now + Millis{100});
  const Mono heard = now + Millis{100};
  std::vector<Millis> judged_after;
  while (state("claude-1") != State::Down) {
    now = roster.due();
    if (!roster.tick(now).empty()) judged_after.push_back(std::chrono::duration_cast<Millis>(now - heard));
  }
  EXPECT_EQ(judged_after, (std::vector<Millis>{Limits{}.late, Limits{}.gone}));
}

TEST_F(RosterTest, AChildsExitIsKnownAtOnceAndItsLastBeatsDontRaiseIt) {
  roster.launched("claude", "claude-1", 100, now);
  EXPECT_EQ(state("claude-1"), State::Starting);
  roster.beat(make("claude-1"), now);
  EXPECT_EQ(state("claude-1"), State::Up);
  const auto changes = roster.exited("claude-1", 100, {0, 9}, now);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].why, "killed by signal 9 (KILL)");
  EXPECT_TRUE(roster.beat(make("claude-1"), now).empty());
  EXPECT_EQ(state("claude-1"), State::Down);

  roster.launched("claude", "claude-1", 101, now);
  EXPECT_TRUE(roster.beat(make("claude-1"), now).empty());
  auto fresh = make("claude-1");
  fresh.pid = 101;
  fresh.process_id = "b";
  EXPECT_EQ(roster.beat(fresh, now).back().to, State::Up);
  EXPECT_EQ(roster.find("claude-1")->restarts, 1);
}

TEST_F(RosterTest, AChildThatNeverBeatsHangsAfterTheStartLimit) {
  roster.launched("claude", "claude-1", 100, now);
  EXPECT_TRUE(pass(Millis{29'500}).empty());
  EXPECT_EQ(pass(Millis{1'000}).back().to, State::Hung);
}

TEST_F(RosterTest, AnAdoptedChildIsNoRestart) {
  roster.launched("claude", "claude-1", 100, now);
  roster.beat(make("claude-1"), now);
  EXPECT_EQ(roster.find("claude-1")->restarts, 0);
  EXPECT_EQ(roster.tick(now).size(), 0u);
}

TEST_F(RosterTest, AProcessThatSomebodyElseRestartedIsNoticed) {
  roster.beat(make("claude-1"), now);
  auto fresh = make("claude-1");
  fresh.process_id = "b";
  fresh.pid = 101;
  const auto changes = roster.beat(fresh, now);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].to, State::Down);
  EXPECT_EQ(changes[1].to, State::Up);
  EXPECT_EQ(roster.find("claude-1")->restarts, 1);
}

TEST_F(RosterTest, TwoThatLiveByOneNameAreNamesakesAndNoRestarts) {
  auto second = make("claude-1");
  second.process_id = "b";
  second.pid = 101;
  roster.beat(make("claude-1"), now);
  roster.beat(second, now);  // the first is taken for its predecessor
  pass(Millis{500}, {make("claude-1"), second});
  EXPECT_FALSE(roster.find("claude-1")->namesake) << "its last beats may have been under way";
  EXPECT_TRUE(pass(Millis{60'000}, {make("claude-1"), second}).empty()) << "neither is down";
  const Member& m = *roster.find("claude-1");
  ASSERT_TRUE(m.namesake);
  EXPECT_EQ(m.namesake->pid, 100);
  EXPECT_EQ(m.restarts, 1);
  pass(Millis{3'000}, {second});
  EXPECT_FALSE(m.namesake) << "it has ended";
}

TEST_F(RosterTest, ANamesakeStandsInWhenTheOneThatWasWatchedEnds) {
  auto second = make("claude-1");
  second.process_id = "b";
  second.pid = 101;
  roster.beat(make("claude-1"), now);
  roster.beat(second, now);
  pass(Millis{5'000}, {make("claude-1"), second});
  pass(Millis{5'000}, {make("claude-1")});
  EXPECT_EQ(state("claude-1"), State::Up);
  EXPECT_EQ(roster.find("claude-1")->pid, 100);
}

TEST_F(RosterTest, AGoodbyeAndAReturnIsNoRestartThatWasNoticed) {
  roster.beat(make("claude-1"), now);
  const auto bye = roster.beat(make("claude-1", ServiceState::Stopped), now);
  ASSERT_EQ(bye.size(), 1u);
  EXPECT_TRUE(bye[0].goodbye);
  auto fresh = make("claude-1");
  fresh.process_id = "b";
  EXPECT_EQ(roster.beat(fresh, now).size(), 1u);
  EXPECT_EQ(roster.find("claude-1")->restarts, 0);
}

TEST_F(RosterTest, WhatIsExpectedAndAbsentForAMinuteIsMissing) {
  const std::map<std::string, int> expect{{"gateway", 1}, {"claude", 2}};
  EXPECT_TRUE(roster.missing(expect, now).empty());
  pass(Millis{59'000}, {make("claude-1")});
  EXPECT_TRUE(roster.missing(expect, now).empty());
  pass(Millis{1'500}, {make("claude-1")});
  const auto missing = roster.missing(expect, now);
  EXPECT_EQ(missing.at("gateway"), 1);
  EXPECT_EQ(missing.at("claude"), 1);
  pass(Millis{1'000}, {make("claude-1"), make("claude-2"), make("gateway")});
  EXPECT_TRUE(roster.missing(expect, now).empty());
}

TEST_F(RosterTest, AStrangerIsForgottenAnHourAfterItsEnd) {
  roster.beat(make("claude-9"), now);
  pass(Millis{3'700'000});
  EXPECT_EQ(roster.find("claude-9"), nullptr);
}

TEST_F(RosterTest, HoldsABoundedNumber) {
  for (int i = 0; i < 2'000; ++i)
    roster.beat(make("claude-" + std::to_string(i)), now);
  EXPECT_EQ(roster.members().size(), Roster::kMaxMembers);
}

}  // namespace
}  // namespace katana::watchdog
