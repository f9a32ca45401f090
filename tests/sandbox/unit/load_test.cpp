// The load generator with a bot beside it in the same loop, all over real sockets.
#include "load.hpp"

#include <gtest/gtest.h>

#include "bare_bot.hpp"

namespace sandbox {
namespace {

constexpr const char* kToken = "1000000001:LoadLoadLoadLoadLoadLoadLoadLoadLoadLo";

struct LoadRun {
  explicit LoadRun(LoadShape shape, BareFaults faults = {}) {
    Loop loop;
    Record record(100, 1U << 20);
    Telegram telegram(loop, record, 1);
    telegram.add_bot(kToken);
    Providers providers(loop, record);
    Load load(loop, telegram, providers);
    HttpServer http(loop, record, [&](HttpConnection& connection, const Request& request) {
      if (request.path.substr(0, 4) == "/bot") return telegram.handle(connection, request);
      providers.messages(connection, request);
    });
    BareBot bot(loop, "127.0.0.1", http.listen("127.0.0.1:0"), kToken, faults);
    bot.start();
    bool done = false;
    EXPECT_EQ(load.start(shape,
                         [&](const std::string& text) {
                           report = text;
                           done = true;
                         }),
              "");
    const Nanos limit = now_ns() + 60 * kSecond;
    while (!done && now_ns() < limit)
      loop.turn(kSecond / 10);
    EXPECT_TRUE(done);
    simdjson::dom::parser parser;
    const Json json = parser.parse(report);
    for (const char* name : {"messages", "lost", "late", "doubled", "asked_again", "unmeasured", "errors"})
      counts[name] = number_of(json, name);
    Json added;
    if (member(json, "added_ms", added)) p99_ms = real_of(added, "p99");
  }
  std::string report;
  std::map<std::string, std::int64_t> counts;
  double p99_ms = 0;
};

TEST(Load, MeasuresEveryMessageOnce) {
  LoadRun run({.chats = 20, .messages = 500});
  EXPECT_EQ(run.counts["messages"], 500) << run.report;
  EXPECT_EQ(run.counts["lost"] + run.counts["late"] + run.counts["doubled"] + run.counts["asked_again"], 0)
      << run.report;
  EXPECT_EQ(run.counts["unmeasured"] + run.counts["errors"], 0) << run.report;
  EXPECT_GT(run.p99_ms, 0);
}

TEST(Load, StreamsTakeTheTimeTheyAreGiven) {
  const Nanos began = now_ns();
  LoadRun run({.chats = 50, .messages = 50, .tokens = 20, .token_ms = 10, .first_ms = 5});
  EXPECT_GE(now_ns() - began, 190 * kMilli);
  EXPECT_EQ(run.counts["messages"], 50) << run.report;
}

TEST(Load, SeesWhatIsLost) {
  LoadRun run({.chats = 4, .messages = 40, .patience_s = 0.2}, {.lose_every = 10});
  EXPECT_EQ(run.counts["lost"], 4) << run.report;
  EXPECT_EQ(run.counts["messages"], 36) << run.report;
}

TEST(Load, SeesWhatIsDoubled) {
  LoadRun run({.chats = 4, .messages = 40}, {.double_every = 10});
  EXPECT_GE(run.counts["doubled"], 3) << run.report;  // the run may end before the very last double is sent
  EXPECT_LE(run.counts["doubled"], 4) << run.report;
}

}  // namespace
}  // namespace sandbox
