#include <gtest/gtest.h>

#include "watchdog/status/exposition.hpp"
#include "watchdog/status/site.hpp"
#include "watchdog/status/table.hpp"

namespace katana::watchdog {
namespace {

TEST(Exposition, MergesFamiliesAndLabelsEverySample) {
  const std::string one =
      "# HELP katana_x_total Things.\n# TYPE katana_x_total counter\nkatana_x_total 1\n"
      "# HELP katana_h_seconds Time.\n# TYPE katana_h_seconds histogram\n"
      "katana_h_seconds_count{model=\"a}b\"} 2\nkatana_h_seconds_sum{model=\"a}b\"} 0.5\n"
      "katana_h_seconds_bucket{model=\"a}b\",le=\"+Inf\"} 2\n";
  const auto merged = merge({{"claude", "claude-1", one}, {"claude", "claude-2", one}});
  EXPECT_EQ(
      merged,
      "# HELP katana_h_seconds Time.\n# TYPE katana_h_seconds histogram\n"
      "katana_h_seconds_count{component=\"claude\",instance=\"claude-1\",model=\"a}b\"} 2\n"
      "katana_h_seconds_sum{component=\"claude\",instance=\"claude-1\",model=\"a}b\"} 0.5\n"
      "katana_h_seconds_bucket{component=\"claude\",instance=\"claude-1\",model=\"a}b\",le=\"+Inf\"} 2\n"
      "katana_h_seconds_count{component=\"claude\",instance=\"claude-2\",model=\"a}b\"} 2\n"
      "katana_h_seconds_sum{component=\"claude\",instance=\"claude-2\",model=\"a}b\"} 0.5\n"
      "katana_h_seconds_bucket{component=\"claude\",instance=\"claude-2\",model=\"a}b\",le=\"+Inf\"} 2\n"
      "# HELP katana_x_total Things.\n# TYPE katana_x_total counter\n"
      "katana_x_total{component=\"claude\",instance=\"claude-1\"} 1\n"
      "katana_x_total{component=\"claude\",instance=\"claude-2\"} 1\n");
}

TEST(Exposition, ALabelStandsOnlyOnce) {
  const std::string one =
      "# TYPE katana_i gauge\nkatana_i{component=\"x\",a=\"1,\\\"2\",instance=\"y\",b=\"3\"} 1\n";
  EXPECT_EQ(merge({{"c", "i", one}}),
            "# HELP katana_i \n# TYPE katana_i gauge\n"
            "katana_i{component=\"c\",instance=\"i\",a=\"1,\\\"2\",b=\"3\"} 1\n");
}

TEST(Exposition, LeavesOutWhatIsNotOfTheFormat) {
  const std::string bad =
      "katana_orphan 1\n# HELP 9bad x\n# TYPE katana_a "
      "gauge\nkatana_a\nkatana_a{x=\"\nkatana_a{x=\"1\"}\nother 2\n"
      "katana_a 3";
  EXPECT_EQ(merge({{"c\"", "i\\", bad}}),
            "# HELP katana_a \n# TYPE katana_a gauge\nkatana_a{component=\"c\\\"\",instance=\"i\\\\\"} 3\n");
  const std::string gauge = "# TYPE katana_b gauge\nkatana_b 1\n",
                    counter = "# TYPE katana_b counter\nkatana_b 2\n";
  EXPECT_EQ(merge({{"a", "a", gauge}, {"b", "b", counter}}),
            "# HELP katana_b \n# TYPE katana_b gauge\nkatana_b{component=\"a\",instance=\"a\"} 1\n");
}

class SiteTest : public testing::Test {
 protected:
  SiteTest() {
    bus::Heartbeat b;
    b.component = "claude";
    b.instance = "claude-1";
    b.process_id = "p";
    b.state = bus::ServiceState::Ready;
    b.metrics = "# HELP katana_x_total Things.\n# TYPE katana_x_total counter\nkatana_x_total 1\n";
    roster.beat(b, clock.mono());
  }
  Snapshot snapshot() {
    Snapshot s;
    s.now = {clock.mono(), clock.wall()};
    s.roster = &roster;
    s.book = &book;
    return s;
  }
  net::ServerResponse get(const std::string& path, const std::string& method = "GET") {
    net::ServerRequest r;
    r.method = method;
    r.path = path;
    return site.handle(r);
  }
  ManualClock clock;
  Roster roster{Limits{}, [](const bus::Heartbeat&) { return Presence::Unknown; }, clock.mono()};
  Book book{"host", "", {[] { return "id"; }, [](const Notice&) {}}};
  Site site{[this] { return snapshot(); }, [] { return std::string(); }};
};

TEST_F(SiteTest, ShowsThePageTheStateAndTheMetrics) {
  EXPECT_NE(get("/").body.find("<!doctype html>"), std::string::npos);
  EXPECT_NE(get("/api/status").body.find("\"instance\":\"claude-1\""), std::string::npos);
  const auto metrics = get("/metrics").body;
  EXPECT_NE(metrics.find("katana_x_total{component=\"claude\",instance=\"claude-1\"} 1\n"),
            std::string::npos);
  EXPECT_NE(
      metrics.find(
          "katana_up{component=\"watchdog\",instance=\"watchdog\",process=\"claude-1\",role=\"claude\"} 1"),
      std::string::npos);
  EXPECT_EQ(get("/nothing").status, 404);
}

TEST_F(SiteTest, ADeadProcesssFiguresAreLeftOut) {
  bus::Heartbeat last;
  last.component = "claude";
  last.instance = "claude-1";
  last.process_id = "p";
  last.seq = 1;
  last.state = bus::ServiceState::Stopped;
  roster.beat(last, clock.mono());
  EXPECT_EQ(get("/metrics").body.find("katana_x_total"), std::string::npos);
  Snapshot s = snapshot();
  EXPECT_EQ(own_metrics(s).find("katana_up{"), std::string::npos)
      << "nobody expects it: it isn't down, it left";
  s.expect["claude"] = 1;
  EXPECT_NE(own_metrics(s).find("katana_up{process=\"claude-1\",role=\"claude\"} 0\n"), std::string::npos);
}

TEST_F(SiteTest, OneThatNobodyMissesIsNotDown) {
  bus::Heartbeat other;
  other.component = "claude";
  other.instance = "claude-2";
  other.process_id = "q";
  other.host = "elsewhere";
  other.state = bus::ServiceState::Ready;
  roster.beat(other, clock.mono());
  other.instance = "claude-3";
  roster.beat(other, clock.mono());
  for (Millis t{0}; t < Millis{3'000}; t += Millis{200}) {
    clock.advance(Millis{200});
    other.instance = "claude-2";
    roster.beat(other, clock.mono());
    roster.tick(clock.mono());
  }
  ASSERT_EQ(roster.find("claude-3")->state, State::Down);
  Snapshot s = snapshot();
  s.expect["claude"] = 1;
  EXPECT_EQ(own_metrics(s).find("katana_up{process=\"claude-3\",role=\"claude\"} 0"), std::string::npos);
  s.expect["claude"] = 3;
  EXPECT_NE(own_metrics(s).find("katana_up{process=\"claude-3\",role=\"claude\"} 0"), std::string::npos);
}

TEST_F(SiteTest, MetricsTellIncidentsBySeverityAndChannelsByName) {
  book.open({.key = "a", .severity = Severity::Critical, .title = "t"}, {clock.mono(), clock.wall()});
  book.open({.key = "b", .severity = Severity::Warning, .title = "t"}, {clock.mono(), clock.wall()});
  book.resolve("b", {clock.mono(), clock.wall()});
  Snapshot s = snapshot();
  s.channels.push_back({.name = "email", .waiting = 2, .failing = true, .sent = 3, .dropped = 1});
  const auto metrics = own_metrics(s);
  for (const char* line :
       {"katana_incidents_open{severity=\"critical\"} 1", "katana_incidents_open{severity=\"warning\"} 0",
        "katana_incidents_total{severity=\"critical\"} 1", "katana_incidents_total{severity=\"warning\"} 1",
        "katana_alerts_waiting{channel=\"email\"} 2", "katana_alerts_sent_total{channel=\"email\"} 3",
        "katana_alerts_dropped_total{channel=\"email\"} 1", "katana_alerts_failing{channel=\"email\"} 1",
        "katana_alert_channels 1", "katana_silences 0"})
    EXPECT_NE(metrics.find(std::string("\n") + line + "\n"), std::string::npos) << line;
}

TEST_F(SiteTest, OnlyShows) {
  for (const char* method : {"POST", "PUT", "DELETE"})
    EXPECT_EQ(get("/", method).status, 405);
}

TEST_F(SiteTest, FeedsThoseWhoWatchAndForgetsThoseWhoLeft) {
  struct Stream final : net::EventStream {
    explicit Stream(std::string& t) : text(t) {}
    bool write(std::string_view bytes) override {
      text += bytes;
      return open;
    }
    std::string& text;
    bool open = true;
  };
  std::string text;
  auto stream = std::make_shared<Stream>(text);
  get("/api/events").stream(stream);
  EXPECT_NE(text.find("event: status\ndata: {"), std::string::npos);
  text.clear();
  site.publish();
  EXPECT_FALSE(text.empty());
  stream->open = false;
  site.publish();
  EXPECT_EQ(stream.use_count(), 1);
}

TEST_F(SiteTest, TheTableSaysWhenNobodyWillBeTold) {
  const auto table = to_table(snapshot(), false);
  EXPECT_NE(table.find("claude-1"), std::string::npos);
  EXPECT_NE(table.find("nobody will be told"), std::string::npos);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_NE(to_table(snapshot(), true).find("\x1b[32mup"), std::string::npos);
}

}  // namespace
}  // namespace katana::watchdog
