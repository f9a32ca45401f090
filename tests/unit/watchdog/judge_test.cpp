#include "watchdog/incident/judge.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace katana::watchdog {
namespace {

class JudgeTest : public testing::Test {
 protected:
  bus::Heartbeat make(const std::string& instance, bool healthy = true) {
    bus::Heartbeat b;
    b.component = instance.substr(0, instance.find('-'));
    b.instance = instance;
    b.process_id = instance;
    b.pid = 100;
    b.state = bus::ServiceState::Ready;
    b.healthy = healthy;
    if (!healthy) b.unhealthy_reason = "Telegram refuses the token (401)";
    return b;
  }
  void hear(const bus::Heartbeat& b) {
    tell(roster.beat(b, clock.mono()));
    judge.beat(b, now());
  }
  void tell(const Roster::Changes& changes) {
    for (const auto& c : changes)
      judge.changed(c, now());
  }
  void pass(Millis span, const std::vector<bus::Heartbeat>& beating = {}) {
    for (Millis t{0}; t < span; t += Millis{250}) {
      clock.advance(Millis{250});
      for (const auto& b : beating)
        if (t.count() % 500 == 0) hear(b);
      tell(roster.tick(clock.mono()));
      judge.tick(roster.missing(expect, clock.mono()), now());
      book.tick(now());
    }
  }
  /// An incident that an earlier watchdog opened and told.
  void earlier(const std::string& kind, const std::string& instance) {
    Report report;
    report.key = kind + instance;
    report.component = instance.substr(0, instance.find('-'));
    report.where = report.process = instance;
    report.title = kind + " of " + instance;
    book.open(report, now());
    sent.clear();
  }
  Now now() const { return {clock.mono(), clock.wall()}; }

  ManualClock clock;
  std::vector<Notice> sent;
  int ids = 0;
  Book book{"host",
            "http://page/runbook",
            {[this] { return "id" + std::to_string(++ids); }, [this](const Notice& n) { sent.push_back(n); },
             [this] { return load_of(roster); }}};
  Roster roster{Limits{}, [](const bus::Heartbeat&) { return Presence::Unknown; }, clock.mono()};
  std::map<std::string, int> expect{{"gateway", 1}, {"claude", 1}};
  Judge judge{book, roster, expect, "host"};
};

TEST_F(JudgeTest, AQuickRestartOfAChildIsToldAndResolved) {
  tell(roster.launched("claude", "claude-1", 100, clock.mono()));
  hear(make("claude-1"));
  EXPECT_TRUE(sent.empty());
  tell(roster.exited("claude-1", 100, {0, 9}, clock.mono()));
  clock.advance(Millis{20});
  tell(roster.launched("claude", "claude-1", 101, clock.mono()));
  auto fresh = make("claude-1");
  fresh.pid = 101;
  fresh.process_id = "b";
  clock.advance(Millis{300});
  hear(fresh);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(subject(sent[0]), "CRITICAL claude-1 is down: killed by signal 9 (KILL)");
  EXPECT_EQ(subject(sent[1]), "RESOLVED claude-1 is down: killed by signal 9 (KILL), lasted 320 ms");
}

TEST_F(JudgeTest, AHangIsToldWhereNobodySupervisesAndProcessesAreExpected) {
  Roster local{Limits{}, [](const bus::Heartbeat&) { return Presence::There; }, clock.mono()};
  Judge of_local{book, local, expect, "host"};
  static_cast<void>(local.beat(make("claude-1"), clock.mono()));
  for (int i = 0; i < 20; ++i) {
    clock.advance(Millis{100});
    for (const auto& change : local.tick(clock.mono()))
      of_local.changed(change, now());
  }
  ASSERT_EQ(local.find("claude-1")->state, State::Hung);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(subject(sent[0]).find("claude-1 hangs"), std::string::npos);
}

TEST_F(JudgeTest, ACrashLoopOfAnEarlierWatchdogEndsAndHidesNoLaterDeath) {
  earlier("crash-loop:", "claude-1");
  tell(roster.launched("claude", "claude-1", 100, clock.mono()));
  pass(Millis{70'000}, {make("gateway"), make("claude-1")});
  EXPECT_FALSE(book.is_open("crash-loop:claude-1"));
  sent.clear();
  tell(roster.exited("claude-1", 100, {0, 9}, clock.mono()));
  pass(Millis{5'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(subject(sent[0]).find("claude-1 is down"), std::string::npos);
}

TEST_F(JudgeTest, WhatAnEarlierWatchdogToldByNameIsNotMissedBesides) {
  earlier("process:", "claude-1");
  pass(Millis{90'000}, {make("gateway")});
  EXPECT_FALSE(book.is_open("expect:claude"));
  EXPECT_TRUE(sent.empty());
}

TEST_F(JudgeTest, AHostThatIsGoneForGoodIsOverWhenNobodyMissesItsProcesses) {
  auto far = make("claude-1");
  far.host = "far";
  auto too = make("openai-1");
  too.host = "far";
  expect = {{"gateway", 1}, {"claude", 1}, {"openai", 1}};
  Judge wide{book, roster, expect, "host"};
  const auto turn = [&](Millis span, const std::vector<bus::Heartbeat>& beating) {
    for (Millis t{0}; t < span; t += Millis{250}) {
      clock.advance(Millis{250});
      for (const auto& b : beating) {
        for (const auto& c : roster.beat(b, clock.mono()))
          wide.changed(c, now());
        wide.beat(b, now());
      }
      for (const auto& c : roster.tick(clock.mono()))
        wide.changed(c, now());
      wide.tick(roster.missing(expect, clock.mono()), now());
      book.tick(now());
    }
  };
  turn(Millis{2'000}, {make("gateway"), far, too});
  turn(Millis{5'000}, {make("gateway")});
  ASSERT_TRUE(book.is_open("host:far"));
  turn(Millis{5'000}, {make("gateway"), make("claude-2"), make("openai-2")});
  EXPECT_FALSE(book.is_open("host:far"));
}

TEST_F(JudgeTest, DeadLettersOfAGatewayThatHasAnotherNameNowAreOver) {
  earlier("dead-letters:", "gateway-old");
  pass(Millis{50'000}, {make("gateway"), make("claude-1")});
  EXPECT_TRUE(book.is_open("dead-letters:gateway-old"));
  pass(Millis{15'000}, {make("gateway"), make("claude-1")});
  EXPECT_FALSE(book.is_open("dead-letters:gateway-old"));
}

TEST_F(JudgeTest, AChatThatThrewTheBotOutIsToldBesideABotThatCantBeAsked) {
  judge.ops_chat_failed({Code::Rejected, "HTTP 409"}, now());
  sent.clear();
  judge.channel_failed("telegram", {Code::Rejected, "HTTP 409"}, now());
  pass(Millis{5'000});
  EXPECT_TRUE(sent.empty()) << "one trouble";
  judge.channel_works("telegram", now());
  judge.channel_failed("telegram", {Code::Auth, "HTTP 403"}, now());
  pass(Millis{5'000});
  ASSERT_GE(sent.size(), 1u);
  EXPECT_NE(subject(sent[0]).find("403"), std::string::npos);
}

TEST_F(JudgeTest, TwoProcessesByOneNameAreOneIncident) {
  auto second = make("claude-1");
  second.process_id = "b";
  second.pid = 101;
  second.host = "elsewhere";
  auto first = make("claude-1");
  first.host = "host";
  hear(first);
  sent.clear();
  pass(Millis{90'000}, {make("gateway"), first, second});
  std::vector<std::string> subjects;
  for (const auto& n : sent)
    subjects.push_back(subject(n));
  const std::string told =
      "two processes call themselves claude-1: pid 101 on elsewhere and pid 100; end one, or give it its own "
      "KATANA_INSTANCE";
  EXPECT_EQ(std::count(subjects.begin(), subjects.end(), "WARNING " + told), 1);
  sent.clear();
  pass(Millis{5'000}, {make("gateway"), second});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(subject(sent[0]).find("RESOLVED two processes"), std::string::npos);
}

TEST_F(JudgeTest, AGoodbyeIsAnIncidentOnlyAfterAMinute) {
  pass(Millis{2'000}, {make("gateway"), make("claude-1")});
  auto bye = make("claude-1");
  bye.state = bus::ServiceState::Stopped;
  hear(bye);
  pass(Millis{58'000}, {make("gateway")});
  EXPECT_TRUE(sent.empty());
  pass(Millis{3'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].title, "1 of 1 expected claude processes missing for 1 min 0 s");
  pass(Millis{2'000}, {make("gateway"), make("claude-1")});
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, WhatNeverCameIsAnIncident) {
  pass(Millis{62'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].where, "claude");
}

TEST_F(JudgeTest, ADeadProcessIsToldOfOnceNotAsMissingToo) {
  pass(Millis{2'000}, {make("gateway"), make("claude-1")});
  pass(Millis{120'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].where, "claude-1");
}

TEST_F(JudgeTest, InstancesBeyondTheExpectedComeAndGo) {
  pass(Millis{2'000}, {make("gateway"), make("claude-1"), make("claude-2")});
  pass(Millis{120'000}, {make("gateway"), make("claude-1")});
  EXPECT_TRUE(sent.empty());
}

TEST_F(JudgeTest, AnotherInstanceInTheLostOnesPlaceEndsTheIncident) {
  pass(Millis{2'000}, {make("gateway"), make("claude-a")});
  pass(Millis{10'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  pass(Millis{2'000}, {make("gateway"), make("claude-b")});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, UnhealthIsToldWithItsReasonWhenItLasts) {
  pass(Millis{2'000}, {make("gateway", false), make("claude-1")});
  pass(Millis{1'000}, {make("gateway"), make("claude-1")});
  EXPECT_TRUE(sent.empty());
  pass(Millis{5'000}, {make("gateway", false), make("claude-1")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].title, "gateway is unhealthy: Telegram refuses the token (401)");
  pass(Millis{1'000}, {make("gateway"), make("claude-1")});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, DeadLettersAreToldOfOnceUntilNoneIsLeft) {
  auto gateway = make("gateway");
  gateway.dead_letters = 1;
  pass(Millis{2'000}, {gateway, make("claude-1")});
  gateway.dead_letters = 2;
  pass(Millis{2'000}, {gateway, make("claude-1")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(sent[0].title.find("katana dead-letters"), std::string::npos);
  gateway.dead_letters = 0;
  pass(Millis{1'000}, {gateway, make("claude-1")});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, AHungChildThatIsKilledRemainsTheHangThatWasTold) {
  const Change hung{"claude", "claude-1", State::Up, State::Hung, "silent for 3 s"};
  judge.changed(hung, now());
  judge.changed({"claude", "claude-1", State::Hung, State::Down, "killed by signal 9 (KILL)"}, now());
  judge.changed({"claude", "claude-1", State::Starting, State::Up, "heard"}, now());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
  EXPECT_EQ(sent[1].title, sent[0].title);
}

TEST_F(JudgeTest, AChildThatDiesAndThenRefusesItsSettingsIsToldOfBothAndResolvesBoth) {
  tell(roster.launched("claude", "claude-1", 100, clock.mono()));
  hear(make("claude-1"));
  tell(roster.exited("claude-1", 100, {0, 9}, clock.mono()));
  tell(roster.launched("claude", "claude-1", 101, clock.mono()));
  judge.refused("claude", "claude-1", "ANTHROPIC_API_KEY_FILE: others can read it\n", now());
  tell(roster.exited("claude-1", 101, {2, 0}, clock.mono()));
  pass(Millis{1'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].title,
            "claude-1 does not start, a setting is wrong: ANTHROPIC_API_KEY_FILE: others can read it");
  pass(Millis{120'000}, {make("gateway")});
  EXPECT_EQ(sent.size(), 2u) << "nothing more is said while it stays so";
  judge.changed({"claude", "claude-1", State::Starting, State::Up, "heard"}, now());
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_TRUE(book.open_incidents().empty());
}

TEST_F(JudgeTest, AChildThatNeverStartsForASettingIsToldOfOnce) {
  tell(roster.launched("claude", "claude-1", 100, clock.mono()));
  judge.refused("claude", "claude-1", "ANTHROPIC_BASE_URL: not a URL\n", now());
  tell(roster.exited("claude-1", 100, {2, 0}, clock.mono()));
  pass(Millis{120'000}, {make("gateway")});
  EXPECT_EQ(sent.size(), 1u);
}

TEST_F(JudgeTest, WhatNobodyExpectsAnyMoreIsOver) {
  // As restored from the last run, in which there still was an OpenAI worker.
  for (const char* key : {"process:openai-1", "setting:openai-1", "health:openai-1"})
    book.open({key, Severity::Critical, "openai", "openai-1", key}, now());
  book.open({"expect:openai", Severity::Critical, "openai", "openai", "1 of 1 expected"}, now());
  pass(Millis{1'000}, {make("gateway"), make("claude-1")});
  EXPECT_TRUE(book.open_incidents().empty());
  EXPECT_EQ(sent.front().kind, NoticeKind::Opened);
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, ThePoorHealthOfAProcessThatWasReplacedIsOver) {
  pass(Millis{5'000}, {make("gateway"), make("claude-a", false)});
  ASSERT_EQ(sent.size(), 1u);
  pass(Millis{10'000}, {make("gateway")});
  EXPECT_TRUE(book.is_open("health:claude-a")) << "nobody took its place";
  pass(Millis{2'000}, {make("gateway"), make("claude-b")});
  EXPECT_TRUE(book.open_incidents().empty());
}

TEST_F(JudgeTest, ARestartedProcessGetsItsTimeToBecomeHealthy) {
  tell(roster.launched("gateway", "gateway", 100, clock.mono()));
  pass(Millis{2'000}, {make("gateway", false), make("claude-1")});
  tell(roster.exited("gateway", 100, {1, 0}, clock.mono()));
  clock.advance(Millis{2'000});
  tell(roster.launched("gateway", "gateway", 101, clock.mono()));
  auto fresh = make("gateway", false);
  fresh.pid = 101;
  fresh.process_id = "b";
  hear(fresh);
  EXPECT_FALSE(book.is_open("health:gateway"));
}

TEST_F(JudgeTest, ABadSettingAndAFailingChannelAreNamed) {
  judge.refused("claude", "claude-1", "ANTHROPIC_BASE_URL: not a URL\n", now());
  EXPECT_EQ(sent.back().title, "claude-1 does not start, a setting is wrong: ANTHROPIC_BASE_URL: not a URL");
  clock.advance(Millis{2'000});
  judge.channel_failed("telegram", Error{Code::Auth, "401 Unauthorized"}, now());
  EXPECT_EQ(sent.back().except, "telegram");
  EXPECT_EQ(sent.back().title, "alerts by telegram fail: auth: 401 Unauthorized");
  judge.channel_works("telegram", now());
  EXPECT_EQ(sent.back().except, "telegram");
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, MoreThanFiveEndsInAMinuteAreOneCrashLoop) {
  tell(roster.launched("claude", "claude-1", 100, clock.mono()));
  for (int i = 0; i < 12; ++i) {
    tell(roster.exited("claude-1", 100 + i, {1, 0}, clock.mono()));
    judge.restarting("claude", "claude-1", "exit status 1", now());
    EXPECT_EQ(book.is_open("crash-loop:claude-1"), i >= 5) << i;
    pass(Millis{5'000}, {make("gateway")});
    tell(roster.launched("claude", "claude-1", 101 + i, clock.mono()));
  }
  ASSERT_EQ(sent.size(), 2u) << "that it is down, and that it is a loop";
  EXPECT_EQ(
      sent[1].title,
      "claude-1 is in a crash loop: 6 ends in 25 s, the last: exit status 1; it is tried again and again, "
      "every 30 s at most");
  auto well = make("claude-1");
  well.pid = 112;
  pass(Millis{58'000}, {make("gateway"), well});
  EXPECT_TRUE(book.is_open("crash-loop:claude-1"));
  pass(Millis{4'000}, {make("gateway"), well});
  EXPECT_TRUE(book.open_incidents().empty());
  EXPECT_EQ(sent.size(), 4u);
}

TEST_F(JudgeTest, AProcessThatComesAndGoesIsADigestAndNoCrashLoopBeside) {
  for (int i = 0; i < 8; ++i) {
    tell(roster.launched("claude", "claude-1", 100 + i, clock.mono()));
    auto b = make("claude-1");
    b.pid = 100 + i;
    b.process_id = std::to_string(i);
    hear(b);
    pass(Millis{1'000}, {make("gateway"), b});
    tell(roster.exited("claude-1", 100 + i, {0, 11}, clock.mono()));
    judge.restarting("claude", "claude-1", "killed by signal 11 (SEGV)", now());
  }
  ASSERT_EQ(sent.size(), 5u);
  EXPECT_EQ(sent.back().kind, NoticeKind::Flapping);
}

TEST_F(JudgeTest, AHostThatIsGoneIsOneIncidentAndItsProcessesAreNone) {
  auto one = make("gateway"), two = make("claude-1");
  one.host = two.host = "h2";
  pass(Millis{2'000}, {one, two});
  pass(Millis{10'000});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].title, "host h2 is gone: nothing is heard from claude-1, gateway");
  EXPECT_EQ(sent[0].host, "h2");
  pass(Millis{120'000});
  EXPECT_EQ(sent.size(), 1u) << "nor are they missing on top of it";
  pass(Millis{1'000}, {one});
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
  pass(Millis{10'000}, {one});
  ASSERT_EQ(sent.size(), 3u) << "one of them didn't come back with its host";
  EXPECT_EQ(sent[2].where, "claude-1");
}

TEST_F(JudgeTest, ADeathThatSomebodyElseMendsAtOnceIsStillToldAndResolved) {
  pass(Millis{2'000}, {make("gateway"), make("claude-1")});
  auto successor = make("claude-1");
  successor.process_id = "another";
  hear(successor);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].title,
            "claude-1 is down: a new process took its place, without a goodbye of the old one");
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
}

TEST_F(JudgeTest, OneProcessAloneOnAHostIsThatProcess) {
  auto one = make("claude-1");
  one.host = "h2";
  pass(Millis{2'000}, {make("gateway"), one});
  pass(Millis{10'000}, {make("gateway")});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].where, "claude-1");
  EXPECT_EQ(sent[0].host, "h2");
}

TEST_F(JudgeTest, APageSaysWhatUsersFeel) {
  auto gateway = make("gateway");
  gateway.open_questions = 12;
  gateway.oldest_wait_ms = 40'000;
  pass(Millis{2'000}, {gateway, make("claude-1")});
  pass(Millis{10'000}, {gateway});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(sent[0].effect.find("; 12 messages wait, the oldest for 40 s"), std::string::npos)
      << sent[0].effect;
  EXPECT_EQ(sent[0].process, "claude-1");
}

}  // namespace
}  // namespace katana::watchdog
