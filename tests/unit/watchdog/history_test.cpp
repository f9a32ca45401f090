#include "watchdog/status/history.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace katana::watchdog {
namespace {

std::string text_of(double questions, double fast = 0, double slow = 0, const std::string& more = "") {
  const auto n = [](double v) { return std::to_string(static_cast<long>(v)); };
  return "# TYPE katana_questions_total counter\nkatana_questions_total " + n(questions) +
         "\nkatana_answer_seconds_count " + n(fast + slow) + "\nkatana_answer_seconds_bucket{le=\"1\"} " +
         n(fast) + "\nkatana_answer_seconds_bucket{le=\"2\"} " + n(fast + slow) +
         "\nkatana_answer_seconds_bucket{le=\"+Inf\"} " + n(fast + slow) + "\n" + more;
}

TEST(Figures, ReadsWhatIsPlottedAndSumsOverLabels) {
  const Figures f = read_figures(
      "katana_job_failures_total{provider=\"claude\",code=\"timeout\"} 2\n"
      "katana_job_failures_total{provider=\"claude\",code=\"cancelled\"} 40\n"
      "katana_job_failures_total{code=\"overloaded\"} 1\n"
      "katana_tokens_total{model=\"m\",kind=\"input\"} 100\nkatana_tokens_total{kind=\"output\"} 7\n"
      "katana_tokens_total{kind=\"cache_read\"} 90\n"
      "katana_spend_usd_total{model=\"a\"} 0.25\nkatana_spend_usd_total{model=\"b\"} 1e-1\n"
      "katana_questions_totals 9\nother 1\nkatana_questions_total x\nkatana_questions_total -1\nkatana_");
  EXPECT_EQ(f.counters[Figures::Errors], 3);
  EXPECT_EQ(f.counters[Figures::Tokens], 107);
  EXPECT_DOUBLE_EQ(*f.counters[Figures::Usd], 0.35);
  EXPECT_EQ(f.counters[Figures::Questions], std::nullopt) << "it isn't there, which isn't 0";
}

TEST(Figures, WhatFellIsAnotherProcess) {
  const auto before = read_figures(text_of(10, 5, 5));
  const auto fell = between(before, read_figures(text_of(3, 6, 0)));
  EXPECT_EQ(fell.counters[Figures::Questions], std::nullopt);
  EXPECT_TRUE(fell.timings[Figures::Answer].empty());
  EXPECT_EQ(between(before, read_figures(text_of(12, 5, 5))).counters[Figures::Questions], 2);
}

TEST(Figures, PercentilesLieBetweenTheBoundsOfTheirBucket) {
  const double inf = std::numeric_limits<double>::infinity();
  const Buckets b{{1, 10}, {2, 20}, {4, 20}, {inf, 20}};
  EXPECT_DOUBLE_EQ(*percentile(b, 0.5), 1);
  EXPECT_DOUBLE_EQ(*percentile(b, 0.75), 1.5);
  EXPECT_DOUBLE_EQ(*percentile(b, 0.99), 1.98);
  EXPECT_DOUBLE_EQ(*percentile({{1, 0}, {4, 0}, {inf, 5}}, 0.5), 4) << "beyond the last bound";
  EXPECT_EQ(percentile({{1, 0}, {inf, 0}}, 0.5), std::nullopt);
  EXPECT_EQ(percentile({}, 0.5), std::nullopt);
}

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() {
    clock.jump_wall(Millis{240'000 - to_unix_ms(clock.wall()) % 240'000});  // a point begins here
    gateway.component = gateway.instance = "gateway";
    gateway.process_id = "one";
    gateway.state = bus::ServiceState::Ready;
    gateway.rss_bytes = 20 << 20;
  }
  Now now() { return {clock.mono(), clock.wall()}; }
  /// Time passes for the gateway, too.
  void pass(Millis span) {
    clock.advance(span);
    gateway.uptime_ms += span.count();
  }
  void beat(std::string metrics = "") {
    gateway.metrics = std::move(metrics);
    history.beat(gateway, now());
    roster.beat(gateway, clock.mono());
  }
  void tick() { history.tick(roster, now()); }
  /// The last points of a series (`series.waiting`, `gateway.memory`), as JSON.
  std::string last(const std::string& name, std::size_t points, History::Span span = History::Hour) {
    const std::string json = history.to_json(span);
    const auto from = json.find("\"" + name + "\":[");
    const auto end = json.find(']', from);
    if (from == std::string::npos) return "none";
    std::string all = json.substr(from, end - from);
    std::size_t at = all.size();
    for (std::size_t i = 0; i < points; ++i)
      at = all.find_last_of(",[", at - 1);
    return all.substr(at + 1);
  }
  ManualClock clock;
  bus::Heartbeat gateway;
  History history;
  Roster roster{Limits{}, [](const bus::Heartbeat&) { return Presence::Unknown; }, clock.mono()};
};

TEST_F(HistoryTest, APointIsWhatCameInItsTime) {
  beat(text_of(100, 10, 0));
  pass(Millis{5'000});
  gateway.open_questions = 7;
  gateway.oldest_wait_ms = 1'500;
  gateway.cpu_ms += 500;
  beat(text_of(103, 11, 1));
  gateway.open_questions = 2;
  gateway.oldest_wait_ms = 0;
  beat();
  EXPECT_EQ(last("waiting", 1), "null") << "it isn't over yet";
  pass(Millis{5'000});
  beat();
  EXPECT_EQ(last("waiting", 1), "7") << "the most of it";
  EXPECT_EQ(last("oldest_wait_s", 1), "1.5");
  EXPECT_EQ(last("messages_per_min", 1), "36") << "3 in 5 s";
  EXPECT_EQ(last("answer_p50_s", 1), "1") << "of the two that came";
  EXPECT_EQ(last("answer_p99_s", 1), "1.98");
  EXPECT_EQ(last("first_text_p50_s", 1), "null") << "it counts no such thing";
  EXPECT_EQ(last("usd", 1), "null");
  EXPECT_EQ(last("memory", 1), "20971520");
  EXPECT_EQ(last("cpu", 1), "0.1");
  EXPECT_EQ(last("waiting", 1, History::Day), "null");
}

TEST_F(HistoryTest, WhatNobodySawIsAGap) {
  gateway.open_questions = 1;
  beat();
  pass(Millis{10'000});
  beat();
  pass(Millis{30'000});
  beat();
  EXPECT_EQ(last("waiting", 4), "1,1,null,null");
}

TEST_F(HistoryTest, AnotherProcessCountsFromItsOwnBeginning) {
  beat(text_of(100));
  pass(Millis{5'000});
  gateway.process_id = "two";
  gateway.uptime_ms = 100;
  beat(text_of(500));
  pass(Millis{5'000});
  beat();
  EXPECT_EQ(last("messages_per_min", 1), "null") << "nothing is known but the new one's first reading";
  beat(text_of(501));
  pass(Millis{10'000});
  beat();
  EXPECT_EQ(last("messages_per_min", 1), "12");
}

TEST_F(HistoryTest, ADayHasItsOwnPoints) {
  beat(text_of(0));
  for (int i = 1; i <= 24; ++i) {
    pass(Millis{10'000});
    beat(text_of(i));
  }
  EXPECT_EQ(last("messages_per_min", 1, History::Day), "6");
}

TEST_F(HistoryTest, BeatsAreALineOfLetters) {
  const auto quiet = [&](int ticks) {
    for (int i = 0; i < ticks; ++i) {
      pass(Millis{200});
      roster.tick(clock.mono());
    }
  };
  beat();
  tick();
  quiet(5);
  tick();
  quiet(5);
  tick();
  EXPECT_EQ(history.beats("gateway"), "Uul");
  quiet(25);
  tick();
  EXPECT_EQ(history.beats("gateway"), "Uul....x") << "nobody looked for four seconds";
  for (int i = 0; i < 100; ++i) {
    pass(Millis{1'000});
    beat();
    tick();
  }
  EXPECT_EQ(history.beats("gateway"), std::string(60, 'U'));
  EXPECT_EQ(history.beats("nobody"), "");
}

TEST_F(HistoryTest, SurvivesARestart) {
  gateway.open_questions = 3;
  for (int i = 0; i < 30; ++i) {
    beat(text_of(i));
    pass(Millis{10'000});
  }
  beat();
  const std::string before = history.to_json(History::Hour), day = history.to_json(History::Day);
  const std::string file = history.dump();
  History after;
  ASSERT_TRUE(after.restore(file, now()));
  EXPECT_EQ(after.to_json(History::Hour), before);
  EXPECT_EQ(after.to_json(History::Day), day);
  EXPECT_EQ(after.dump(), file);
  history = after;
  pass(Millis{30'000});
  beat();
  EXPECT_EQ(last("waiting", 4), "3,null,null,null") << "the time between is a gap";
  History late;
  clock.advance(std::chrono::hours{2});
  ASSERT_TRUE(late.restore(file, now()));
  EXPECT_EQ(late.to_json(History::Hour).find("3"), late.to_json(History::Hour).find("3600"))
      << "too long ago";
}

TEST_F(HistoryTest, TakesNothingOfADamagedFile) {
  gateway.open_questions = 3;
  for (int i = 0; i < 5; ++i) {
    beat();
    pass(Millis{10'000});
  }
  beat();
  const std::string good = history.dump();
  for (std::size_t cut = 0; cut + 2 < good.size(); cut += good.size() / 97) {
    History h;
    EXPECT_FALSE(h.restore(good.substr(0, cut), now())) << cut;
    EXPECT_EQ(h.last_point(History::Hour), 0);
  }
  for (const char* bad : {"[]", "{}", "{\"version\":2,\"spans\":[]}", "{\"version\":1,\"spans\":[1,2]}",
                          "{\"version\":1,\"spans\":[{\"step_ms\":1,\"end_ms\":1},{}]}"})
    EXPECT_FALSE(History{}.restore(bad, now())) << bad;
  std::string word = good;
  word.replace(word.find("null"), 4, "\"xx\"");
  EXPECT_FALSE(History{}.restore(word, now()));
}

TEST_F(HistoryTest, AClockThatWasSetBackTakesItsFutureWithIt) {
  gateway.open_questions = 1;
  for (int i = 0; i < 10; ++i) {
    beat();
    pass(Millis{10'000});
  }
  clock.jump_wall(Millis{-50'000});
  beat();
  EXPECT_EQ(last("waiting", 6), "null,1,1,1,1,1") << "five points are left";
}

TEST_F(HistoryTest, OneTooManyTakesNobodysPlaceButTheGatewayDoes) {
  const auto all_beat = [&](int count) {
    for (int i = 0; i < count; ++i) {
      bus::Heartbeat b = gateway;
      b.component = "openai";
      b.instance = "openai-" + std::to_string(i);
      b.rss_bytes = 1 << 30;
      history.beat(b, now());
    }
  };
  for (int turn = 0; turn < 4; ++turn) {
    all_beat(150);
    beat(text_of(turn));
    pass(Millis{10'000});
  }
  all_beat(150);
  EXPECT_NE(history.to_json(History::Hour).find("\"gateway\""), std::string::npos);
  EXPECT_NE(last("messages_per_min", 1), "null") << "and nobody throws it out again";
}

TEST_F(HistoryTest, SpendStandsBesideTheDaysBudget) {
  beat(text_of(1));
  EXPECT_NE(history.to_json(History::Day).find("\"day_budget\":{}"), std::string::npos);
  beat(text_of(2, 0, 0,
               "katana_budget_tokens{window=\"day\"} 2e6\nkatana_budget_tokens{window=\"month\"} 9e6\n"));
  EXPECT_NE(history.to_json(History::Day).find("\"day_budget\":{\"tokens\":2e+06}"), std::string::npos)
      << history.to_json(History::Day).substr(0, 100);
  beat(text_of(3, 0, 0, "katana_budget_usd{window=\"day\"} 5\n"));
  EXPECT_NE(history.point_json(History::Hour).find("\"day_budget\":{\"usd\":5}"), std::string::npos);
}

TEST_F(HistoryTest, IsBounded) {
  for (int i = 0; i < 300; ++i) {
    bus::Heartbeat b = gateway;
    b.component = "claude";
    b.instance = "claude-" + std::to_string(i);
    b.rss_bytes = 1 << 30;
    history.beat(b, now());
    pass(Millis{10'000});
  }
  beat();
  std::size_t processes = 0;
  const std::string json = history.to_json(History::Hour);
  for (auto at = json.find("\"memory\""); at != std::string::npos; at = json.find("\"memory\"", at + 1))
    ++processes;
  EXPECT_EQ(processes, History::kProcesses);
  EXPECT_NE(json.find("\"gateway\""), std::string::npos);
  clock.advance(std::chrono::hours{30});
  tick();
  EXPECT_EQ(history.to_json(History::Day).find("claude-"), std::string::npos) << "nothing is left of them";
}

}  // namespace
}  // namespace katana::watchdog
