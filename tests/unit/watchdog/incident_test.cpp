#include <gtest/gtest.h>

#include "watchdog/incident/book.hpp"

namespace katana::watchdog {
namespace {

class BookTest : public testing::Test {
 protected:
  Report report(const std::string& key = "process:claude-1") {
    return {key, Severity::Critical, "claude", "claude-1", "claude-1 is down: killed", "answers wait", "boom",
            1};
  }
  void advance(Millis by) { clock.advance(by); }
  Now now() const { return {clock.mono(), clock.wall()}; }

  ManualClock clock;
  std::vector<Notice> sent;
  int ids = 0;
  /// Ticks as the watchdog does.
  void pass(Millis span) {
    for (const Mono end = clock.mono() + span; clock.mono() < end;) {
      advance(std::min(Millis{200}, std::chrono::duration_cast<Millis>(end - clock.mono())));
      book.tick(now());
    }
  }
  Book make_book(std::vector<Notice>& into) {
    return {"host",
            "http://page/runbook",
            {[this] { return "id" + std::to_string(++ids); }, [&into](const Notice& n) { into.push_back(n); },
             [this] { return load; }}};
  }
  std::string load;
  Book book = make_book(sent);
};

TEST_F(BookTest, OneNoticeToOpenAndOneToCloseWithItsLength) {
  book.open(report(), now());
  auto later = report();
  later.title = "claude-1 hangs";
  book.open(later, now());
  advance(Millis{64'000});
  book.resolve("process:claude-1", now());
  book.resolve("process:claude-1", now());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].kind, NoticeKind::Opened);
  EXPECT_EQ(sent[1].kind, NoticeKind::Resolved);
  EXPECT_EQ(sent[1].incident, sent[0].incident);
  EXPECT_NE(sent[1].id, sent[0].id);
  EXPECT_EQ(subject(sent[1]), "RESOLVED claude-1 is down: killed, lasted 1 min 4 s");
  EXPECT_EQ(book.history().size(), 1u);
}

TEST_F(BookTest, KeysAreIncidentsOfTheirOwn) {
  book.open(report("a"), now());
  book.open(report("b"), now());
  EXPECT_EQ(sent.size(), 1u) << "there may be more";
  pass(Millis{1'000});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].kind, NoticeKind::Opened);
  EXPECT_NE(sent[0].incident, sent[1].incident);
}

TEST_F(BookTest, FlappingEndsInOneDigestAndOneWordWhenItIsOver) {
  for (int i = 0; i < 50; ++i) {
    book.open(report(), now());
    pass(Millis{1'000});
    book.resolve("process:claude-1", now());
    pass(Millis{1'000});
  }
  ASSERT_EQ(sent.size(), 5u);
  EXPECT_EQ(sent[4].kind, NoticeKind::Flapping);
  for (int i = 0; i < 700; ++i) {
    advance(Millis{1'000});
    book.tick(now());
  }
  ASSERT_EQ(sent.size(), 6u);
  EXPECT_EQ(sent[5].kind, NoticeKind::Resolved);
  EXPECT_EQ(sent[5].incident, sent[4].incident);
  book.open(report(), now());
  EXPECT_EQ(sent.size(), 7u);
  EXPECT_EQ(sent[6].kind, NoticeKind::Opened);
}

TEST_F(BookTest, WhatStaysOpenSurvivesUs) {
  book.open(report(), now());
  std::vector<Notice> later;
  Book next = make_book(later);
  ASSERT_TRUE(next.restore(book.dump(now()), now()));
  EXPECT_TRUE(next.is_open("process:claude-1"));
  next.open(report(), now());
  EXPECT_TRUE(later.empty());
  advance(Millis{5'000});
  next.resolve("process:claude-1", now());
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].incident, sent[0].incident);
  EXPECT_EQ(later[0].lasted_ms, 5'000);
}

TEST_F(BookTest, FlappingIsRememberedByOurSuccessor) {
  std::unique_ptr<Book> last;
  for (int i = 0; i < 20; ++i) {
    auto next = std::make_unique<Book>(make_book(sent));
    if (last) {
      ASSERT_TRUE(next->restore(last->dump(now()), now()));
    }
    next->open(report("process:watchdog"), now());
    next->resolve("process:watchdog", now());
    advance(Millis{30'000});
    last = std::move(next);
  }
  ASSERT_EQ(sent.size(), 5u);
  EXPECT_EQ(sent[4].kind, NoticeKind::Flapping);
  advance(Millis{601'000});
  last->tick(now());
  EXPECT_EQ(sent.back().kind, NoticeKind::Resolved);
}

TEST_F(BookTest, RefusesABrokenDump) {
  const std::string whole = [&] {
    book.open(report(), now());
    return book.dump(now());
  }();
  for (std::size_t n = 0; n + 2 < whole.size(); ++n) {
    std::vector<Notice> none;
    Book other = make_book(none);
    EXPECT_FALSE(other.restore(whole.substr(0, n), now())) << n;
    EXPECT_TRUE(other.open_incidents().empty());
  }
  std::vector<Notice> none;
  Book other = make_book(none);
  EXPECT_FALSE(other.restore(R"({"open":[{"id":"x"}],"flaps":[]})", now()));
  EXPECT_FALSE(other.restore(R"([])", now()));
}

TEST(Notice, SurvivesItsSpoolFile) {
  Notice n;
  n.id = "n1";
  n.incident = "i1";
  n.kind = NoticeKind::Resolved;
  n.severity = Severity::Critical;
  n.at = from_unix_ms(1'790'000'000'123);
  n.where = "claude-1";
  n.title = "a \"quoted\" <b>title</b>\\";
  n.last_error = "é\n";
  n.restarts = 3;
  n.lasted_ms = 900;
  n.except = "email";
  const auto back = parse_notice(to_json(n));
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(to_json(*back), to_json(n));
  EXPECT_EQ(back->title, n.title);
  const std::string whole = to_json(n);
  for (std::size_t i = 0; i < whole.size(); ++i)
    EXPECT_FALSE(parse_notice(whole.substr(0, i)));
}

TEST(Notice, HtmlHoldsNoForeignMarkup) {
  Notice n;
  n.title = "<script>alert(1)</script> & \"x\"";
  const auto html = to_html(n);
  EXPECT_EQ(html.find("<script>"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;"), std::string::npos);
}

TEST(Notice, DurationsForPeople) {
  EXPECT_EQ(human(Millis{320}), "320 ms");
  EXPECT_EQ(human(Millis{1'250}), "1.2 s");
  EXPECT_EQ(human(Millis{64'000}), "1 min 4 s");
  EXPECT_EQ(human(Millis{7'260'000}), "2 h 1 min");
}

}  // namespace
}  // namespace katana::watchdog
