#include "watchdog/incident/symptoms.hpp"

#include <gtest/gtest.h>

namespace katana::watchdog {
namespace {

using Say = void (*)(bus::Heartbeat&);

class SymptomsTest : public testing::Test {
 protected:
  static bus::Heartbeat make(const std::string& instance) {
    bus::Heartbeat b;
    b.component = instance.substr(0, instance.find('-'));
    b.instance = instance;
    b.process_id = instance;
    b.host = "here";
    b.state = bus::ServiceState::Ready;
    return b;
  }
  void hear(bus::Heartbeat b, Millis clock_off = Millis{0}) {
    b.sent_at = clock.wall() + clock_off;
    changes(roster.beat(b, clock.mono()));
    symptoms.beat(b, now());
  }
  void changes(const Roster::Changes& list) {
    for (const auto& c : list)
      symptoms.changed(c, now());
  }
  void tick() {
    changes(roster.tick(clock.mono()));
    symptoms.tick(now());
    book.tick(now());
  }
  /// Beats every 500 ms, ticks every 250 ms.
  void pass(Millis span, const std::vector<bus::Heartbeat>& beating) {
    for (Millis t{0}; t < span; t += Millis{250}) {
      clock.advance(Millis{250});
      for (const auto& b : beating)
        if (t.count() % 500 == 0) hear(b);
      tick();
    }
  }
  [[nodiscard]] bool open(const std::string& key) const { return book.is_open(key); }
  [[nodiscard]] Severity severity(const std::string& key) const {
    return book.open_incidents().at(key).report.severity;
  }
  Now now() const { return {clock.mono(), clock.wall()}; }

  ManualClock clock;
  std::vector<Notice> sent;
  int ids = 0;
  Book book{
      "here",
      "",
      {[this] { return "id" + std::to_string(++ids); }, [this](const Notice& n) { sent.push_back(n); }, {}}};
  Roster roster{Limits{}, [](const bus::Heartbeat&) { return Presence::Unknown; }, clock.mono()};
  Symptoms symptoms{book, roster, "here", now()};
};

// ---- what one beat says: opens, stays away just below, goes on between the edges, ends ----

struct Row {
  const char* name;
  const char* key;
  Say below;  ///< nothing opens
  Say above;  ///< it opens
  Severity severity;
  Say between;  ///< it stays
  Say over;     ///< it is over
};

class SymptomRow : public SymptomsTest, public testing::WithParamInterface<Row> {};

TEST_P(SymptomRow, OpensAndEndsAtItsEdges) {
  const Row& row = GetParam();
  const auto with = [&](Say change) {
    bus::Heartbeat b = make("gateway");
    change(b);
    return b;
  };
  pass(Millis{3'000}, {with(row.below)});
  EXPECT_FALSE(open(row.key));
  pass(Millis{500}, {with(row.above)});
  ASSERT_TRUE(open(row.key));
  EXPECT_EQ(severity(row.key), row.severity);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(sent[0].title.empty());
  EXPECT_FALSE(sent[0].effect.empty());
  for (int i = 0; i < 20; ++i)
    pass(Millis{500}, {with(i % 2 == 0 ? row.between : row.above)});
  EXPECT_EQ(sent.size(), 1u) << "it flaps at its edge";
  pass(Millis{500}, {with(row.over)});
  EXPECT_FALSE(open(row.key));
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
}

TEST_P(SymptomRow, EndsWithItsProcess) {
  const Row& row = GetParam();
  bus::Heartbeat b = make("gateway");
  row.above(b);
  pass(Millis{1'000}, {b});
  ASSERT_TRUE(open(row.key));
  pass(Millis{4'000}, {});
  EXPECT_EQ(roster.find("gateway")->state, State::Down);
  if (std::string(row.key) != "disk:gateway") {
    EXPECT_FALSE(open(row.key));
    return;
  }
  EXPECT_TRUE(open(row.key)) << "a process that starts anew finds the same disk";
  pass(Millis{60'000}, {});
  EXPECT_FALSE(open(row.key)) << "nobody tells of it any more";
}

TEST_F(SymptomsTest, ACertificateOutlivesTheProcessThatMetIt) {
  bus::Heartbeat b = make("gateway");
  b.certificate_endpoint = "https://telegram.example:443";
  b.certificate_expires = clock.wall() + std::chrono::hours{24 * 5};
  pass(Millis{1'000}, {b});
  const std::string key = "certificate:https://telegram.example:443";
  ASSERT_TRUE(open(key));
  const auto told = sent.size();
  pass(Millis{4'000}, {});
  ASSERT_EQ(roster.find("gateway")->state, State::Down);
  b.process_id = "successor";
  b.certificate_endpoint.clear();
  pass(Millis{10'000}, {b});
  EXPECT_TRUE(open(key)) << "it has met nobody yet";
  b.certificate_endpoint = "https://telegram.example:443";
  pass(Millis{90'000}, {b});
  EXPECT_TRUE(open(key));
  EXPECT_EQ(sent.size(), told) << "nothing new is known of it";
  b.certificate_expires += std::chrono::hours{24 * 90};
  pass(Millis{1'000}, {b});
  EXPECT_FALSE(open(key));
}

TEST_P(SymptomRow, IsNotToldBesideWhatExplainsIt) {
  const Row& row = GetParam();
  pass(Millis{1'000}, {make("gateway")});
  Report worse;
  worse.key = "health:gateway";
  worse.where = "gateway";
  worse.title = "gateway is unhealthy";
  book.open(worse, now());
  bus::Heartbeat b = make("gateway");
  row.above(b);
  pass(Millis{5'000}, {b});
  EXPECT_FALSE(open(row.key));
  book.resolve("health:gateway", now());
  pass(Millis{500}, {b});
  EXPECT_TRUE(open(row.key));
}

constexpr std::uint64_t kGb = 1'000'000'000;

void disk(bus::Heartbeat& b, std::uint64_t free_bytes, std::uint64_t total_bytes) {
  b.disk_free_bytes = free_bytes;
  b.disk_total_bytes = total_bytes;
}
void waits(bus::Heartbeat& b, std::uint64_t ms, std::uint64_t queue) {
  b.oldest_wait_ms = ms;
  b.queue = queue;
}

INSTANTIATE_TEST_SUITE_P(
    Table, SymptomRow,
    testing::Values(Row{"Poll", "poll:gateway", [](auto& b) { b.since_poll_ms = 90'000; },
                        [](auto& b) { b.since_poll_ms = 90'500; }, Severity::Critical,
                        [](auto& b) { b.since_poll_ms = 61'000; }, [](auto& b) { b.since_poll_ms = 200; }},
                    Row{"Wait", "oldest-wait:gateway", [](auto& b) { waits(b, 120'000, 3); },
                        [](auto& b) { waits(b, 120'001, 3); }, Severity::Warning,
                        [](auto& b) { waits(b, 61'000, 0); }, [](auto& b) { waits(b, 60'000, 3); }},
                    Row{"LongWait", "oldest-wait:gateway", [](auto& b) { waits(b, 600'000, 0); },
                        [](auto& b) { waits(b, 600'001, 0); }, Severity::Critical,
                        [](auto& b) { waits(b, 90'000, 0); }, [](auto& b) { waits(b, 0, 0); }},
                    Row{"DiskPart", "disk:gateway", [](auto& b) { disk(b, 10 * kGb, 100 * kGb); },
                        [](auto& b) { disk(b, 10 * kGb - 1, 100 * kGb); }, Severity::Warning,
                        [](auto& b) { disk(b, 11 * kGb, 100 * kGb); },
                        [](auto& b) { disk(b, 12 * kGb, 100 * kGb); }},
                    Row{"DiskBytes", "disk:gateway", [](auto& b) { disk(b, kGb / 2, 2 * kGb); },
                        [](auto& b) { disk(b, kGb / 2 - 1, 2 * kGb); }, Severity::Warning,
                        [](auto& b) { disk(b, kGb / 2 + 90'000'000, 2 * kGb); },
                        [](auto& b) { disk(b, 600'000'000, 2 * kGb); }},
                    Row{"SmallDisk", "disk:gateway", [](auto& b) { disk(b, 8'000'000, 8'000'000); },
                        [](auto& b) { disk(b, 1'900'000, 8'000'000); }, Severity::Warning,
                        [](auto& b) { disk(b, 2'300'000, 8'000'000); },
                        [](auto& b) { disk(b, 2'500'000, 8'000'000); }},
                    Row{"DiskCritical", "disk:gateway", [](auto& b) { disk(b, 20 * kGb, 100 * kGb); },
                        [](auto& b) { disk(b, 3 * kGb - 1, 100 * kGb); }, Severity::Critical,
                        [](auto& b) { disk(b, 3 * kGb + kGb / 2, 100 * kGb); },
                        [](auto& b) { disk(b, 12 * kGb, 100 * kGb); }}),
    [](const auto& row) { return row.param.name; });

TEST_F(SymptomsTest, WhoSaysNothingOfItHasNoSymptom) {
  pass(Millis{5'000}, {make("gateway"), make("claude-1")});
  EXPECT_TRUE(book.open_incidents().empty());
}

TEST_F(SymptomsTest, AWarningThatGetsWorseIsCriticalUntilItIsOver) {
  bus::Heartbeat b = make("gateway");
  waits(b, 130'000, 2);
  pass(Millis{500}, {b});
  EXPECT_EQ(severity("oldest-wait:gateway"), Severity::Warning);
  waits(b, 700'000, 2);
  pass(Millis{500}, {b});
  EXPECT_EQ(severity("oldest-wait:gateway"), Severity::Critical);
  waits(b, 300'000, 2);
  pass(Millis{500}, {b});
  EXPECT_EQ(severity("oldest-wait:gateway"), Severity::Critical);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Escalated);
}

TEST_F(SymptomsTest, ADrainingProcessIsNotJudged) {
  bus::Heartbeat b = make("gateway");
  b.since_poll_ms = 100'000;
  b.state = bus::ServiceState::Draining;
  pass(Millis{2'000}, {b});
  EXPECT_TRUE(book.open_incidents().empty());
}

// ---- Telegram's backlog: readings, not beats ----

TEST_F(SymptomsTest, ABacklogIsTwoReadingsInARow) {
  bus::Heartbeat b = make("gateway");
  b.pending_updates = 5'000;
  b.pending_readings = 1;
  pass(Millis{60'000}, {b});  // one reading, a hundred beats
  EXPECT_FALSE(open("telegram-backlog:gateway"));
  b.pending_updates = 201;
  b.pending_readings = 2;
  pass(Millis{500}, {b});
  EXPECT_TRUE(open("telegram-backlog:gateway"));
  b.pending_updates = 150;
  b.pending_readings = 3;
  pass(Millis{500}, {b});
  EXPECT_TRUE(open("telegram-backlog:gateway"));
  b.pending_updates = 100;
  b.pending_readings = 4;
  pass(Millis{500}, {b});
  EXPECT_FALSE(open("telegram-backlog:gateway"));
  for (std::uint64_t reading = 5; reading < 20; ++reading) {  // never two in a row
    b.pending_updates = reading % 2 == 0 ? 900 : 200;
    b.pending_readings = reading;
    pass(Millis{500}, {b});
  }
  EXPECT_FALSE(open("telegram-backlog:gateway"));
}

TEST_F(SymptomsTest, ABacklogBehindAPollThatFailsIsPollingsAffair) {
  bus::Heartbeat b = make("gateway");
  b.healthy = false;
  b.pending_updates = 5'000;
  for (b.pending_readings = 1; b.pending_readings < 6; ++b.pending_readings)
    pass(Millis{500}, {b});
  EXPECT_FALSE(open("telegram-backlog:gateway"));
}

// ---- providers ----

class ProviderErrors : public SymptomsTest {
 protected:
  static constexpr const char* kKey = "provider-errors:claude";
  /// `failed` of `requests` more end at this worker.
  void end(bus::Heartbeat& worker, std::uint64_t requests, std::uint64_t failed) {
    worker.requests += requests;
    worker.failed_requests += failed;
    pass(Millis{500}, {worker});
  }
  void SetUp() override { pass(Millis{500}, {a, b}); }
  bus::Heartbeat a = make("claude-1");
  bus::Heartbeat b = make("claude-2");
};

TEST_F(ProviderErrors, HalfOfTenAreSummedOverItsWorkers) {
  end(a, 5, 3);
  end(b, 4, 2);
  EXPECT_FALSE(open(kKey)) << "nine";
  end(b, 1, 0);
  EXPECT_TRUE(open(kKey));
  EXPECT_EQ(severity(kKey), Severity::Critical);
  end(a, 9, 0);  // 5 of 19
  EXPECT_TRUE(open(kKey));
  end(a, 2, 0);  // 5 of 21
  EXPECT_FALSE(open(kKey));
}

TEST_F(ProviderErrors, JustBelowHalfIsNone) {
  end(a, 100, 49);
  EXPECT_FALSE(open(kKey));
}

TEST_F(ProviderErrors, AWorkerThatSaysSoItselfHasSaidIt) {
  Report health;
  health.key = "health:claude-1";
  health.where = "claude-1";
  book.open(health, now());
  sent.clear();
  end(a, 10, 10);
  EXPECT_TRUE(open(kKey));
  EXPECT_TRUE(sent.empty());
}

TEST_F(ProviderErrors, TheWindowMoves) {
  end(a, 9, 9);
  pass(Millis{300'000}, {a, b});
  end(a, 1, 1);
  EXPECT_FALSE(open(kKey));
}

TEST_F(ProviderErrors, OverWhenNothingWasAskedForFiveMinutes) {
  end(a, 10, 10);
  ASSERT_TRUE(open(kKey));
  pass(Millis{295'000}, {a, b});
  EXPECT_TRUE(open(kKey));
  pass(Millis{10'000}, {a, b});
  EXPECT_FALSE(open(kKey));
}

TEST_F(ProviderErrors, AnotherProcessCountsFromZero) {
  end(a, 1'000, 4);
  bus::Heartbeat next = make("claude-1");
  next.process_id = "another";
  next.requests = 9;
  next.failed_requests = 9;
  pass(Millis{500}, {next});
  EXPECT_FALSE(open(kKey)) << "13 of 1009";
  pass(Millis{300'000}, {next, b});
  end(next, 10, 5);
  EXPECT_TRUE(open(kKey));
}

TEST_F(ProviderErrors, WhatWasBeforeWeCameIsNoneOfOurWindow) {
  bus::Heartbeat old = make("claude-3");
  old.requests = 500;
  old.failed_requests = 500;
  pass(Millis{1'000}, {old});
  EXPECT_FALSE(open(kKey));
}

TEST_F(ProviderErrors, AnEarlierWatchdogsIncidentIsNotOverForWantOfAWindow) {
  end(a, 10, 10);
  ASSERT_TRUE(open(kKey));
  Symptoms successor(book, roster, "here", now());
  successor.tick(now());
  EXPECT_TRUE(open(kKey));
  clock.advance(Millis{301'000});
  successor.tick(now());
  EXPECT_FALSE(open(kKey));
}

// ---- our own disk ----

TEST_F(SymptomsTest, OurOwnDiskIsJudgedAndSaidOnce) {
  symptoms.own_disk(2 * kGb, 100 * kGb, now());
  book.tick(now());
  EXPECT_EQ(severity("disk:watchdog"), Severity::Critical);
  symptoms.own_disk(50 * kGb, 100 * kGb, now());
  EXPECT_FALSE(open("disk:watchdog"));
  sent.clear();
  clock.advance(Millis{5'000});
  bus::Heartbeat b = make("gateway");
  disk(b, 2 * kGb, 100 * kGb);
  pass(Millis{1'000}, {b});
  symptoms.own_disk(2 * kGb, 100 * kGb, now());
  pass(Millis{5'000}, {b});
  ASSERT_EQ(sent.size(), 1u) << "one disk, told twice";
  EXPECT_EQ(sent[0].where, "gateway");
}

// ---- certificates ----

class CertificateTest : public SymptomsTest {
 protected:
  static constexpr const char* kKey = "certificate:https://telegram.example:443";
  bus::Heartbeat expiring(std::chrono::hours in, const std::string& instance = "gateway") {
    bus::Heartbeat b = make(instance);
    b.certificate_endpoint = "https://telegram.example:443";
    b.certificate_expires = clock.wall() + in;
    return b;
  }
};
using std::chrono::hours;

TEST_F(CertificateTest, WarnsAFortnightAheadAndIsCriticalTwoDaysAhead) {
  pass(Millis{500}, {expiring(hours{14 * 24 + 1})});
  EXPECT_FALSE(open(kKey));
  pass(Millis{500}, {expiring(hours{14 * 24 - 1})});
  ASSERT_TRUE(open(kKey));
  EXPECT_EQ(severity(kKey), Severity::Warning);
  pass(Millis{500}, {expiring(hours{14 * 24 + 12})});
  EXPECT_TRUE(open(kKey));
  pass(Millis{500}, {expiring(hours{47})});
  EXPECT_EQ(severity(kKey), Severity::Critical);
  pass(Millis{500}, {expiring(hours{-1})});
  EXPECT_EQ(severity(kKey), Severity::Critical);
  EXPECT_NE(book.open_incidents().at(kKey).report.effect.find("any more"), std::string::npos);
  pass(Millis{500}, {expiring(hours{90 * 24})});
  EXPECT_FALSE(open(kKey));
}

TEST_F(CertificateTest, ATimeThatPassesIsEnough) {
  const bus::Heartbeat b = expiring(hours{14 * 24}, "gateway");
  pass(Millis{500}, {b});
  pass(Millis{1'000}, {b});
  EXPECT_TRUE(open(kKey));
}

TEST_F(CertificateTest, WhoSawTheRenewedOneIsRight) {
  pass(Millis{500}, {expiring(hours{10})});
  ASSERT_TRUE(open(kKey));
  pass(Millis{500}, {expiring(hours{10}), expiring(hours{2'000}, "claude-1")});
  EXPECT_FALSE(open(kKey));
}

TEST_F(CertificateTest, OverWhenNobodyTalksToItAnyMore) {
  pass(Millis{500}, {expiring(hours{10})});
  ASSERT_TRUE(open(kKey));
  pass(Millis{61'000}, {make("gateway")});
  EXPECT_FALSE(open(kKey));
}

TEST_F(CertificateTest, OursCountsToo) {
  symptoms.own_certificate("https://hook.example:443", clock.wall() + hours{20}, now());
  EXPECT_TRUE(open("certificate:https://hook.example:443"));
}

// ---- clocks ----

class SkewTest : public SymptomsTest {
 protected:
  static constexpr const char* kKey = "clock-skew:there";
  void beats(int n, Millis off, Millis apart = Millis{500}) {
    bus::Heartbeat b = make("claude-9");
    b.host = "there";
    for (int i = 0; i < n; ++i) {
      clock.advance(apart);
      hear(b, off);
    }
  }
};

TEST_F(SkewTest, ThreeBeatsInARow) {
  for (const Millis off : {Millis{5'100}, Millis{-5'100}}) {
    beats(2, off);
    EXPECT_FALSE(open(kKey));
    beats(1, off);
    EXPECT_TRUE(open(kKey));
    beats(3, off / 5 * 4);
    EXPECT_TRUE(open(kKey));
    beats(1, Millis{2'900});
    EXPECT_FALSE(open(kKey));
  }
}

TEST_F(SkewTest, NotAtTheEdgeAndNotNowAndThen) {
  beats(10, Millis{5'000});
  EXPECT_FALSE(open(kKey));
  for (int i = 0; i < 10; ++i) {
    beats(2, Millis{9'000});
    beats(1, Millis{4'000});
  }
  EXPECT_FALSE(open(kKey));
}

TEST_F(SkewTest, BeatsThatWaitedForUsProveNothing) {
  beats(30, Millis{-9'000}, Millis{1});  // read in one go after a stall of ours
  beats(4, Millis{0});
  EXPECT_FALSE(open(kKey));
}

TEST_F(SkewTest, OurOwnHostHasOurClock) {
  bus::Heartbeat b = make("claude-1");
  for (int i = 0; i < 10; ++i) {
    clock.advance(Millis{500});
    hear(b, Millis{60'000});
  }
  EXPECT_TRUE(book.open_incidents().empty());
}

TEST_F(SkewTest, OverWhenTheHostIsGone) {
  beats(4, Millis{8'000});
  ASSERT_TRUE(open(kKey));
  pass(Millis{61'000}, {});
  EXPECT_FALSE(open(kKey));
}

// ---- what an earlier watchdog left ----

TEST_F(SymptomsTest, WhatNobodyReportsAnyMoreIsOver) {
  Report old;
  old.key = "poll:gateway-7";
  old.where = "gateway-7";
  book.open(old, now());
  pass(Millis{59'000}, {make("gateway")});
  EXPECT_TRUE(open("poll:gateway-7"));
  pass(Millis{2'000}, {make("gateway")});
  EXPECT_FALSE(open("poll:gateway-7"));
}

}  // namespace
}  // namespace katana::watchdog
