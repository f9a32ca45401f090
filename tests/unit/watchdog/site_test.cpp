#include "watchdog/status/site.hpp"

#include <gtest/gtest.h>

namespace katana::watchdog {
namespace {

constexpr const char* kToken = "a-token-of-the-page-0123";
const std::string kBearer = std::string("Bearer ") + kToken;

class DutyTest : public testing::Test {
 protected:
  using Headers = std::map<std::string, std::string>;
  static Headers json(Headers more = {}) {
    more.try_emplace("Content-Type", "application/json");
    more.try_emplace("Authorization", kBearer);
    more.try_emplace("Host", "127.0.0.1:9780");
    return more;
  }
  DutyTest() {
    Report report;
    report.key = "process:claude-1";
    report.severity = Severity::Critical;
    report.component = "claude";
    report.where = report.process = "claude-1";
    report.title = "claude-1 is down";
    book.open(report, now());
    words["claude-1"] = {{"one", "two \"quoted\""}, clock.wall(), true};
  }
  Now now() { return {clock.mono(), clock.wall()}; }
  Snapshot snapshot() {
    Snapshot s;
    s.now = now();
    s.roster = &roster;
    s.book = &book;
    s.last_words = &words;
    s.history = &history;
    return s;
  }
  net::ServerResponse ask(const std::string& method, const std::string& path, const Headers& headers,
                          const std::string& body = "", const std::string& query = "") {
    return ask_of(site, method, path, headers, body, query);
  }
  static net::ServerResponse ask_of(Site& site, const std::string& method, const std::string& path,
                                    const Headers& headers, const std::string& body = "",
                                    const std::string& query = "") {
    net::ServerRequest r;
    r.method = method;
    r.path = path;
    r.body = body;
    r.peer = "127.0.0.1";
    r.header = [&](std::string_view name) -> std::string_view {
      const auto it = headers.find(std::string(name));
      return it == headers.end() ? std::string_view{} : std::string_view{it->second};
    };
    r.query = [&](std::string_view) -> std::string_view { return query; };
    return site.handle(r);
  }
  int post(const std::string& path, const std::string& body, const Headers& headers = json()) {
    return ask("POST", path, headers, body).status;
  }
  ManualClock clock;
  Roster roster{Limits{}, [](const bus::Heartbeat&) { return Presence::Unknown; }, clock.mono()};
  Book book{"host", "", {[] { return "id"; }, [](const Notice&) {}}};
  History history;
  std::map<std::string, LastWords> words;
  std::vector<std::string> restarted;
  Desk desk{book,
            {[this] { return now(); },
             [this](const std::string& instance) -> Result<std::string> {
               restarted.push_back(instance);
               return "Restarting " + instance;
             },
             [] {}}};
  Site site{[this] { return snapshot(); }, [] { return std::string(); },
            Gate(Secret(kToken), "127.0.0.1:9780", "https://ops.example.org/katana", "box"), &desk};
};

TEST_F(DutyTest, WhoHasTheTokenCanAct) {
  book.tick(now());
  EXPECT_EQ(ask("GET", "/api/token", json()).status, 200);
  EXPECT_EQ(post("/api/acknowledge", R"({"id":"id"})"), 200);
  EXPECT_TRUE(book.open_incidents().begin()->second.acknowledged);
  EXPECT_EQ(post("/api/silence", R"({"what":"claude-1","for":"2h"})"), 200);
  ASSERT_EQ(book.silences().size(), 1);
  EXPECT_EQ(book.silences()[0].until - book.silences()[0].since, std::chrono::hours{2});
  EXPECT_EQ(post("/api/unsilence", R"({"id":"claude-1"})"), 200);
  EXPECT_TRUE(book.silences().empty());
  EXPECT_EQ(post("/api/restart", R"({"instance":"claude-1"})"), 200);
  EXPECT_EQ(restarted, std::vector<std::string>{"claude-1"});
  EXPECT_EQ(post("/api/acknowledge", R"({"id":"other"})"), 409);
  EXPECT_EQ(post("/api/silence", R"({"what":"claude-1","for":"ages"})"), 409);
  EXPECT_EQ(post("/api/silence", "{}"), 409);
  EXPECT_EQ(post("/api/silence", "nonsense"), 400);
}

TEST_F(DutyTest, NobodyElseCan) {
  const std::string body = R"({"instance":"claude-1"})";
  for (const char* wrong :
       {"", "Bearer ", "Bearer a-token-of-the-page-0124", "Bearer a-token-of-the-page-01234",
        "Basic a-token-of-the-page-0123", "a-token-of-the-page-0123"})
    EXPECT_EQ(post("/api/restart", body, json({{"Authorization", wrong}})), 401) << wrong;
  EXPECT_EQ(ask("GET", "/api/incident", json({{"Authorization", ""}}), "", "id").status, 401);
  EXPECT_EQ(ask("GET", "/api/token", json({{"Authorization", ""}})).status, 401);
  EXPECT_TRUE(restarted.empty());
}

TEST_F(DutyTest, OnlyPostedJsonActs) {
  EXPECT_EQ(ask("GET", "/api/restart", json()).status, 405);
  EXPECT_EQ(ask("PUT", "/api/restart", json()).status, 405);
  EXPECT_EQ(post("/api/restart", "instance=claude-1",
                 json({{"Content-Type", "application/x-www-form-urlencoded"}})),
            415);
  EXPECT_EQ(post("/api/restart", "{}", json({{"Content-Type", "text/plain"}})), 415);
  EXPECT_EQ(post("/api/status", "{}"), 405);
  EXPECT_TRUE(restarted.empty());
}

TEST_F(DutyTest, AnotherSitesPageGetsNothing) {
  const std::string body = R"({"instance":"claude-1"})";
  for (const char* origin : {"https://evil.example", "null", "http://127.0.0.1:9781", "http://localhost:9780",
                             "https://ops.example.org.evil.example"})
    EXPECT_EQ(post("/api/restart", body, json({{"Origin", origin}})), 403) << origin;
  EXPECT_EQ(post("/api/restart", body, json({{"Sec-Fetch-Site", "cross-site"}})), 403);
  EXPECT_EQ(post("/api/restart", body, json({{"Sec-Fetch-Site", "same-site"}})), 403);
  EXPECT_TRUE(restarted.empty());
  EXPECT_EQ(post("/api/restart", body,
                 json({{"Origin", "http://127.0.0.1:9780"}, {"Sec-Fetch-Site", "same-origin"}})),
            200);
  EXPECT_EQ(post("/api/restart", body, json({{"Origin", "https://ops.example.org"}})), 200) << "by a proxy";
}

TEST_F(DutyTest, WrongTokensAreCounted) {
  const Headers wrong = json({{"Authorization", "Bearer guess"}});
  for (int i = 0; i < Gate::kTries; ++i)
    EXPECT_EQ(ask("GET", "/api/token", wrong).status, 401);
  EXPECT_EQ(ask("GET", "/api/token", wrong).status, 429);
  EXPECT_EQ(ask("GET", "/api/status", {}).status, 200);
  EXPECT_EQ(ask("GET", "/api/token", json()).status, 200) << "no stranger locks out who has the right one";
  EXPECT_EQ(ask("GET", "/api/token", wrong).status, 401) << "and the count begins anew";
}

TEST_F(DutyTest, WithoutATokenThePageOnlyShows) {
  Site open{[this] { return snapshot(); }, [] { return std::string(); },
            Gate({}, "127.0.0.1:9780", "", "box"), &desk};
  EXPECT_EQ(ask_of(open, "POST", "/api/restart", json(), R"({"instance":"claude-1"})").status, 403);
  EXPECT_EQ(ask_of(open, "GET", "/api/incident", json({{"Authorization", "Bearer "}}), "", "id").status, 403);
  EXPECT_TRUE(restarted.empty());
  EXPECT_EQ(ask_of(open, "GET", "/", json()).status, 200);
}

TEST_F(DutyTest, ANameThatIsNotOursIsAnotherSites) {
  for (const char* good : {"", "127.0.0.1:9780", "127.0.0.1", "localhost:9780", "LOCALHOST", "[::1]:9780",
                           "box", "10.1.2.3:9780", "ops.example.org", "OPS.example.org:443"})
    EXPECT_EQ(ask("GET", "/", {{"Host", good}}).status, 200) << good;
  for (const char* bad : {"evil.example", "127.0.0.1.evil.example:9780", "localhost.evil.example", "box2",
                          ":80", "[evil]", "127.0.0.1@evil.example"})
    for (const char* path : {"/", "/api/status", "/api/history", "/api/events", "/metrics"})
      EXPECT_EQ(ask("GET", path, {{"Host", bad}}).status, 421) << bad << path;
  Site open{[this] { return snapshot(); }, [] { return std::string(); }, Gate({}, "0.0.0.0:9780", "", "box")};
  EXPECT_EQ(ask_of(open, "GET", "/metrics", {{"Host", "watchdog:9780"}}).status, 200) << "a scraper's";
  EXPECT_EQ(ask_of(open, "GET", "/", {{"Host", "watchdog:9780"}}).status, 421);
}

TEST_F(DutyTest, LastWordsBelongToTheirIncident) {
  const auto shown = ask("GET", "/api/incident", json(), "", "id");
  EXPECT_EQ(shown.status, 200);
  EXPECT_NE(shown.body.find(R"("lines":["one","two \"quoted\""])"), std::string::npos) << shown.body;
  EXPECT_EQ(ask("GET", "/api/status", json()).body.find("quoted"), std::string::npos);
  EXPECT_EQ(ask("GET", "/api/incident", json(), "", "other").status, 404);
  words["claude-1"].at = clock.wall() - std::chrono::minutes{1};
  EXPECT_NE(ask("GET", "/api/incident", json(), "", "id").body.find("\"last_words\":[]"), std::string::npos)
      << "of an earlier death";
}

TEST_F(DutyTest, PagesNameTheirOwnScriptAlone) {
  for (const char* path : {"/", "/runbook"}) {
    const auto page = ask("GET", path, json());
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.body.find("{{nonce}}"), std::string::npos);
    std::string policy;
    for (const auto& [name, value] : page.headers)
      if (name == "Content-Security-Policy") policy = value;
    const auto at = policy.find("'nonce-");
    ASSERT_NE(at, std::string::npos);
    const std::string nonce = policy.substr(at + 7, policy.find('\'', at + 7) - at - 7);
    EXPECT_NE(page.body.find("nonce=\"" + nonce + "\""), std::string::npos);
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    EXPECT_EQ(page.body.find("style=\""), std::string::npos) << "the policy forbids it";
  }
  EXPECT_NE(ask("GET", "/", json()).headers, ask("GET", "/", json()).headers) << "a fresh one each time";
}

TEST_F(DutyTest, TheRunbookHasASectionForEveryKind) {
  const std::string runbook = kRunbook;
  for (const char* kind :
       {"process",          "setting", "health",      "expect",          "crash-loop", "host",
        "dead-letters",     "channel", "ops-chat",    "dead-man",        "watchdog",   "up",
        "telegram-backlog", "poll",    "oldest-wait", "provider-errors", "disk",       "certificate",
        "clock-skew",       "storm",   "flapping",    "namesake"})
    EXPECT_NE(runbook.find(std::string("<section id=\"") + kind + "\""), std::string::npos) << kind;
}

TEST_F(DutyTest, HistoriesAreThereToAsk) {
  EXPECT_NE(ask("GET", "/api/history", json(), "", "1h").body.find("\"waiting\":[null"), std::string::npos);
  EXPECT_EQ(ask("GET", "/api/history", json(), "", "7d").status, 400);
}

TEST_F(DutyTest, TheFeedTellsPastIncidentsAndPointsWhenTheyAreNew) {
  struct Stream final : net::EventStream {
    bool write(std::string_view bytes) override {
      text += bytes;
      return true;
    }
    std::string text;
  };
  auto stream = std::make_shared<Stream>();
  ask("GET", "/api/events", json()).stream(stream);
  EXPECT_NE(stream->text.find("event: past\ndata: []"), std::string::npos);
  site.publish();
  stream->text.clear();
  site.publish();
  EXPECT_EQ(stream->text.find("event: past"), std::string::npos);
  EXPECT_EQ(stream->text.find("event: point"), std::string::npos);
  book.resolve("process:claude-1", now());
  history.tick(roster, now());
  site.publish();
  EXPECT_NE(stream->text.find("event: past\ndata: [{"), std::string::npos);
  EXPECT_NE(stream->text.find("event: point\ndata: {\"span\":\"1h\""), std::string::npos);
}

}  // namespace
}  // namespace katana::watchdog
