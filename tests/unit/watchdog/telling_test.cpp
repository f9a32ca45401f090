// How people are told: alone or together, not while it is silenced or explained, again when nobody answers,
// and across the death of the watchdog.
#include <algorithm>

#include <gtest/gtest.h>

#include "watchdog/incident/book.hpp"

namespace katana::watchdog {
namespace {

class TellingTest : public testing::Test {
 protected:
  static Report report(const std::string& instance, Severity severity = Severity::Critical) {
    Report r;
    r.key = "process:" + instance;
    r.severity = severity;
    r.component = instance.substr(0, instance.find('-'));
    r.where = r.process = instance;
    r.title = instance + " is down: killed";
    r.effect = "answers wait";
    return r;
  }
  void pass(Millis span) {
    for (const Mono end = clock.mono() + span; clock.mono() < end;) {
      clock.advance(std::min(Millis{200}, std::chrono::duration_cast<Millis>(end - clock.mono())));
      book.tick(now());
    }
  }
  void fail_all(int count) {
    for (int i = 1; i <= count; ++i)
      book.open(report("claude-" + std::to_string(i)), now());
  }
  void mend_all(int count) {
    for (int i = 1; i <= count; ++i)
      book.resolve("process:claude-" + std::to_string(i), now());
  }
  void flap(int times) {
    for (int i = 0; i < times; ++i) {
      book.open(report("claude-1"), now());
      pass(Millis{1'000});
      book.resolve("process:claude-1", now());
      pass(Millis{1'000});
    }
  }
  static Report email_fails() {
    Report r;
    r.key = "channel:email";
    r.component = "channel";
    r.where = r.except = "email";
    return r;
  }
  Now now() const { return {clock.mono(), clock.wall()}; }
  std::vector<NoticeKind> kinds() const {
    std::vector<NoticeKind> out;
    for (const auto& n : sent)
      out.push_back(n.kind);
    return out;
  }
  Book make_book() {
    return {"host",
            "http://page/runbook",
            {[this] { return "id" + std::to_string(++ids); }, [this](const Notice& n) { sent.push_back(n); },
             [this] { return load; }}};
  }
  /// As after a kill: from what was kept, and what stood in the spools.
  Book successor(const std::string& kept, const std::vector<Notice>& spooled) {
    Book next = make_book();
    EXPECT_TRUE(next.restore(kept, now()));
    for (const auto& n : spooled)
      if (n.number > next.last_notice()) next.recover(n, now());
    return next;
  }

  ManualClock clock;
  std::vector<Notice> sent;
  int ids = 0;
  std::string load;
  Book book = make_book();
};

using Kinds = std::vector<NoticeKind>;

TEST_F(TellingTest, AThousandFailuresAtOnceAreThreeNoticesWithTheirEnd) {
  fail_all(1'000);
  pass(Millis{5'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Storm}));
  EXPECT_EQ(sent[1].incident, sent[0].incident) << "one thread";
  EXPECT_NE(sent[1].title.find("1000 failures at once (1000 claude): claude-1, "), std::string::npos)
      << sent[1].title;
  EXPECT_NE(sent[1].title.find(" and 990 more"), std::string::npos) << sent[1].title;
  EXPECT_LE(sent[1].at - sent[0].at, Seconds{5});
  mend_all(1'000);
  pass(Millis{5'000});
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[2].kind, NoticeKind::Resolved);
  EXPECT_EQ(sent[2].incident, sent[0].incident);
  EXPECT_TRUE(book.open_incidents().empty());
}

TEST_F(TellingTest, AStormIsOverWithItsLastAndFailuresDuringItJoinIt) {
  fail_all(5);
  pass(Millis{2'000});
  book.open(report("openai-1"), now());
  book.open(report("openai-2"), now());
  pass(Millis{5'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Storm, NoticeKind::Storm, NoticeKind::Storm}));
  EXPECT_EQ(sent[2].title, "1 more failure, 6 open (1 openai): openai-1");
  EXPECT_EQ(sent[3].title, "1 more failure, 7 open (1 openai): openai-2");
  mend_all(5);
  book.resolve("process:openai-1", now());
  pass(Millis{5'000});
  EXPECT_EQ(sent.size(), 4u);
  book.resolve("process:openai-2", now());
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
}

TEST_F(TellingTest, AStormThatGoesOnForHalfAnHourIsAboutANoticeAMinute) {
  for (int i = 0; i < 1'800; ++i) {
    book.open(report("claude-" + std::to_string(i)), now());
    pass(Millis{1'000});
  }
  EXPECT_LE(sent.size(), 60u);
  EXPECT_GE(sent.size(), 25u);
}

TEST_F(TellingTest, TwoFailuresSecondsApartAreTwoIncidents) {
  book.open(report("claude-1"), now());
  pass(Millis{200});
  book.open(report("openai-1"), now());
  pass(Millis{1'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Opened}));
  EXPECT_NE(sent[0].incident, sent[1].incident);
  book.resolve("process:openai-1", now());
  EXPECT_EQ(sent.back().incident, sent[1].incident);
}

TEST_F(TellingTest, AFewAtOnceAreToldEachForItselfAndAChannelAlwaysIs) {
  fail_all(3);
  book.open(email_fails(), now());
  pass(Millis{2'000});
  EXPECT_EQ(kinds(), Kinds(4, NoticeKind::Opened));
  book.resolve("process:claude-2", now());
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
  for (int i = 10; i < 20; ++i)
    book.open(report("claude-" + std::to_string(i)), now());
  pass(Millis{5'000});
  ASSERT_EQ(sent.back().kind, NoticeKind::Storm);
  for (const auto& member : sent.back().members)
    EXPECT_NE(member.key, "channel:email");
}

TEST_F(TellingTest, WhatWasOverBeforeItCouldBeToldIsToldWithItsEnd) {
  book.open(report("claude-1"), now());
  book.open(report("openai-1"), now());
  pass(Millis{400});
  book.resolve("process:openai-1", now());
  EXPECT_EQ(sent.size(), 1u);
  pass(Millis{1'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Opened, NoticeKind::Resolved}));
  EXPECT_EQ(sent[1].incident, sent[2].incident);
  EXPECT_EQ(sent[2].lasted_ms, 400);
}

TEST_F(TellingTest, WhatAnotherIncidentExplainsIsToldOnlyIfItOutlivesIt) {
  Report host;
  host.key = "host:h2";
  host.title = "host h2 is gone";
  auto one = report("claude-2"), two = report("openai-2");
  one.cause = two.cause = "host:h2";
  book.open(host, now());
  book.open(one, now());
  book.open(two, now());
  pass(Millis{60'000});
  ASSERT_EQ(sent.size(), 1u);
  book.resolve("host:h2", now());
  pass(Millis{1'000});
  book.resolve("process:claude-2", now());
  pass(Millis{5'000});
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
  EXPECT_EQ(sent[2].where, "openai-2");
}

TEST_F(TellingTest, ASilenceIsQuietAndAfterItWhatIsStillThereIsTold) {
  ASSERT_TRUE(book.silence("claude", Seconds{60}, now()));
  book.open(report("claude-1"), now());
  book.open(report("claude-2"), now());
  pass(Millis{5'000});
  book.resolve("process:claude-1", now());
  pass(Millis{54'000});
  EXPECT_TRUE(sent.empty());
  pass(Millis{2'000});
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].where, "claude-2");
  EXPECT_TRUE(book.silences().empty());
}

TEST_F(TellingTest, WhoWasToldOfAFailureIsToldOfItsEndAlsoInASilence) {
  book.open(report("claude-1"), now());
  const auto silence = book.silence(sent[0].incident, Seconds{3'600}, now());
  ASSERT_TRUE(silence);
  EXPECT_EQ(silence->what, "process:claude-1") << "by the incident's id";
  pass(Millis{1'000'000});
  EXPECT_EQ(sent.size(), 1u) << "nor a reminder";
  book.resolve("process:claude-1", now());
  ASSERT_EQ(sent.size(), 2u);
  book.open(report("claude-1"), now());
  EXPECT_EQ(sent.size(), 2u);
  ASSERT_TRUE(book.unsilence(silence->id, now()));
  EXPECT_EQ(sent.size(), 3u);
}

TEST_F(TellingTest, SilencesHaveLimits) {
  EXPECT_FALSE(book.silence("", Seconds{60}, now()));
  EXPECT_FALSE(book.silence("all", Seconds{0}, now()));
  EXPECT_FALSE(book.silence("all", Seconds{31 * 86400}, now()));
  EXPECT_FALSE(book.silence("two\nlines", Seconds{60}, now()));
  EXPECT_FALSE(book.unsilence("nothing", now()));
  for (std::size_t i = 0; i < Book::kMostSilences; ++i)
    EXPECT_TRUE(book.silence("claude-" + std::to_string(i), Seconds{60}, now()));
  EXPECT_FALSE(book.silence("one-more", Seconds{60}, now()));
  EXPECT_TRUE(book.silence("claude-1", Seconds{90}, now())) << "in place of the one that is there";
}

TEST_F(TellingTest, ACriticalIncidentThatNobodyAnswersIsEscalatedAndRemembered) {
  load = "12 messages wait, the oldest for 40 s";
  book.open(report("claude-1"), now());
  EXPECT_EQ(sent[0].effect, "answers wait; 12 messages wait, the oldest for 40 s");
  EXPECT_EQ(sent[0].runbook, "http://page/runbook#process");
  pass(Millis{599'000});
  EXPECT_EQ(sent.size(), 1u);
  pass(Millis{2'000});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Escalated);
  EXPECT_NE(to_text(sent[1]).find("Open for: 10 min"), std::string::npos) << to_text(sent[1]);
  pass(Millis{2 * 3'600'000 + 1'000});
  EXPECT_EQ(kinds(),
            (Kinds{NoticeKind::Opened, NoticeKind::Escalated, NoticeKind::Reminder, NoticeKind::Reminder}));
}

TEST_F(TellingTest, WhoAcknowledgesHasTimeAndAWarningNeverEscalates) {
  book.open(report("claude-1"), now());
  pass(Millis{2'000});
  book.open(report("openai-1", Severity::Warning), now());
  ASSERT_TRUE(book.acknowledge(sent[0].incident, now()));
  EXPECT_FALSE(book.acknowledge("nothing", now()));
  EXPECT_EQ(sent.back().kind, NoticeKind::Acknowledged);
  pass(Millis{23 * 3'600'000});
  EXPECT_EQ(sent.size(), 3u);
  pass(Millis{2 * 3'600'000});
  EXPECT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Opened, NoticeKind::Acknowledged,
                            NoticeKind::Reminder, NoticeKind::Reminder}));
}

TEST_F(TellingTest, AWarningThatBecomesCriticalIsToldAgainInItsThread) {
  book.open(report("claude-1", Severity::Warning), now());
  auto worse = report("claude-1");
  worse.title = "claude-1 is worse";
  book.open(worse, now());
  book.open(worse, now());
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Escalated}));
  EXPECT_EQ(sent[1].title, "claude-1 is worse");
  EXPECT_EQ(sent[1].incident, sent[0].incident);
}

TEST_F(TellingTest, AWarningThatBecomesCriticalInASilenceIsToldWhenThatEnds) {
  book.open(report("claude-1", Severity::Warning), now());
  ASSERT_TRUE(book.silence("claude-1", Seconds{3'600}, now()));
  pass(Millis{60'000});
  book.open(report("claude-1"), now());
  pass(Millis{3'500'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened}));
  pass(Millis{60'000});
  ASSERT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Escalated}));
}

TEST_F(TellingTest, AChannelThatFailsWhileAStormIsOverAtOnceIsToldOnce) {
  book.open(report("claude-9"), now());
  book.resolve("process:claude-9", now());
  fail_all(5);
  mend_all(5);
  book.open(email_fails(), now());
  pass(Millis{10'000});
  EXPECT_EQ(std::count_if(sent.begin(), sent.end(), [](const Notice& n) { return n.where == "email"; }), 1);
}

TEST_F(TellingTest, ADigestIsAcknowledgedAndSilencedByItsIdAndSoIsWhatIsOver) {
  flap(6);
  ASSERT_EQ(sent.back().kind, NoticeKind::Flapping);
  const std::string digest = sent.back().incident, over = sent.front().incident;
  EXPECT_TRUE(book.acknowledge(digest, now()));
  EXPECT_EQ(sent.back().kind, NoticeKind::Acknowledged);
  const auto silence = book.silence(digest, Seconds{60}, now());
  ASSERT_TRUE(silence);
  EXPECT_EQ(silence->what, "process:claude-1");
  const auto late = book.acknowledge(over, now());
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().detail.find("that is over: claude-1"), std::string::npos);
  EXPECT_EQ(book.silence(over, Seconds{60}, now())->what, "process:claude-1");
}

TEST_F(TellingTest, SilencesOfTwoStormsStandBesideEachOther) {
  fail_all(10);
  pass(Millis{2'000});
  ASSERT_TRUE(book.silence(book.open_incidents().at("storm").id, Seconds{3'600}, now()));
  mend_all(10);
  pass(Millis{700'000});
  for (int i = 1; i <= 10; ++i)
    book.open(report("openai-" + std::to_string(i)), now());
  pass(Millis{2'000});
  ASSERT_TRUE(book.silence(book.open_incidents().at("storm").id, Seconds{3'600}, now()));
  EXPECT_TRUE(book.is_silenced(report("openai-2")));
  EXPECT_TRUE(book.is_silenced(report("claude-2")));
}

TEST_F(TellingTest, ASilenceOfAStormThatIsOverIsAboutWhatWasInIt) {
  fail_all(10);
  pass(Millis{2'000});
  const std::string id = book.open_incidents().at("storm").id;
  mend_all(10);
  pass(Millis{2'000});
  ASSERT_FALSE(book.is_open("storm"));
  ASSERT_TRUE(book.silence(id, Seconds{3'600}, now()));
  EXPECT_TRUE(book.is_silenced(report("claude-7")));
  EXPECT_FALSE(book.is_silenced(report("openai-7")));
}

TEST_F(TellingTest, AStormIsAcknowledgedAsOneAndRemindedOfAsOne) {
  fail_all(50);
  pass(Millis{2'000});
  pass(Millis{601'000});
  EXPECT_EQ(kinds(), (Kinds{NoticeKind::Opened, NoticeKind::Storm, NoticeKind::Escalated}));
  ASSERT_TRUE(book.acknowledge(sent[1].incident, now()));
  for (const auto& [key, i] : book.open_incidents())
    EXPECT_TRUE(i.acknowledged) << key;
  const auto silence = book.silence(sent[1].incident, Seconds{60}, now());
  ASSERT_TRUE(silence);
  EXPECT_TRUE(book.is_silenced(report("claude-7")));
  EXPECT_FALSE(book.is_silenced(report("openai-7")));
}

TEST_F(TellingTest, WhatFlapsAndThenStaysDownIsToldInTheDigestsThread) {
  flap(6);
  ASSERT_EQ(sent.back().kind, NoticeKind::Flapping);
  const std::string thread = sent.back().incident;
  book.open(report("claude-1"), now());
  const std::size_t before = sent.size();
  pass(Millis{590'000});
  EXPECT_EQ(sent.size(), before);
  pass(Millis{12'000});
  ASSERT_EQ(sent.size(), before + 1);
  EXPECT_EQ(sent.back().kind, NoticeKind::Opened);
}

TEST_F(TellingTest, NothingIsToldTwiceOrForgottenWhereverWeDie) {
  // Every prefix of what happened may be what the file holds, and every later notice may stand in a spool.
  std::vector<std::string> kept{book.dump(now())};
  std::vector<std::size_t> told{0};
  const auto keep = [&] {
    kept.push_back(book.dump(now()));
    told.push_back(sent.size());
  };
  book.open(report("gateway"), now());
  keep();
  fail_all(20);
  pass(Millis{1'000});
  keep();
  mend_all(20);
  keep();
  ASSERT_TRUE(book.acknowledge(sent[0].incident, now()));
  keep();
  book.resolve("process:gateway", now());
  keep();
  const auto all = sent;
  for (std::size_t i = 0; i < kept.size(); ++i)
    for (std::size_t upto = told[i]; upto <= all.size(); ++upto) {
      sent.clear();
      Book next = successor(kept[i], {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(upto)});
      next.tick(now());
      for (const char* name : {"gateway", "claude-1"})
        next.resolve(std::string("process:") + name, now());
      for (const auto& n : sent) {
        EXPECT_GT(n.number, upto) << "numbers go on";
        if (n.kind != NoticeKind::Resolved) continue;
        const bool again =
            std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(upto),
                        [&](const Notice& o) { return o.kind == n.kind && o.incident == n.incident; });
        EXPECT_FALSE(again) << "kept " << i << ", spooled " << upto << ": " << subject(n);
      }
      if (upto == all.size()) {
        EXPECT_TRUE(next.open_incidents().empty()) << i;
        EXPECT_TRUE(sent.empty()) << i;
      }
    }
}

TEST_F(TellingTest, SilencesAcknowledgementsAndHistorySurviveUs) {
  book.open(report("claude-1"), now());
  ASSERT_TRUE(book.acknowledge(sent[0].incident, now()));
  ASSERT_TRUE(book.silence("openai", Seconds{600}, now()));
  book.open(report("gateway"), now());
  book.resolve("process:gateway", now());
  Book next = successor(book.dump(now()), {});
  EXPECT_TRUE(next.open_incidents().at("process:claude-1").acknowledged);
  ASSERT_EQ(next.silences().size(), 1u);
  clock.jump_wall(Millis{-86'400'000});
  Book later = successor(next.dump(now()), {});
  EXPECT_LE(later.silences()[0].ends - clock.mono(), Seconds{600}) << "a clock that was set prolongs nothing";
}

}  // namespace
}  // namespace katana::watchdog
