#include "workers/sse.hpp"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace katana::workers {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

/// All events of `stream`, fed in slices of `slice` bytes; the error's text as a last event named "ERROR".
Events parse(std::string_view stream, std::size_t slice, SseParser& parser) {
  Events out;
  SseEvent event;
  const auto take = [&] {
    for (;;) {
      const auto more = parser.next(event);
      if (!more) {
        out.emplace_back("ERROR", more.error().detail);
        return false;
      }
      if (!*more) return true;
      out.emplace_back(event.name, event.data);
    }
  };
  while (!stream.empty()) {
    parser.push(stream.substr(0, slice));
    stream.remove_prefix(std::min(slice, stream.size()));
    if (!take()) return out;
  }
  parser.finish();
  take();
  return out;
}

Events parse(std::string_view stream, std::size_t slice = 1 << 30) {
  SseParser parser;
  return parse(stream, slice, parser);
}

/// The same whatever the slices.
void expect_events(std::string_view stream, const Events& expected) {
  for (const std::size_t slice :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, stream.size() + 1}) {
    EXPECT_EQ(parse(stream, slice), expected) << "slices of " << slice << ": " << stream;
  }
}

TEST(Sse, NamedAndUnnamedEvents) {
  expect_events("event: ping\ndata: {}\n\ndata: hello\n\n", {{"ping", "{}"}, {"", "hello"}});
}

TEST(Sse, EveryKindOfLineEnd) {
  const Events two = {{"a", "1"}, {"", "2"}};
  expect_events("event: a\ndata: 1\n\ndata: 2\n\n", two);
  expect_events("event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", two);
  expect_events("event: a\rdata: 1\r\rdata: 2\r\r", two);
  expect_events("event: a\ndata: 1\r\n\ndata: 2\r\n\r", two);
}

TEST(Sse, ByteOrderMarkAtTheStartOnly) {
  expect_events(
      "\xEF\xBB\xBF"
      "data: 1\n\n",
      {{"", "1"}});
  expect_events(
      "data: 1\n\n\xEF\xBB\xBF"
      "data: 2\n\n",
      {{"", "1"}});
}

TEST(Sse, CommentsAndUnknownFieldsAreSkipped) {
  expect_events(": a comment\n:\nid: 7\nretry: 10\nwhatever\ndata: x\n: between\n\n", {{"", "x"}});
}

TEST(Sse, DataOfSeveralLinesIsJoined) {
  expect_events("data: a\ndata: b\ndata:\ndata: c\n\n", {{"", "a\nb\n\nc"}});
  expect_events("data: a\n: comment\nevent: e\ndata: b\n\ndata: c\n\n", {{"e", "a\nb"}, {"", "c"}});
}

TEST(Sse, OneBlankAfterTheColonIsNotContent) {
  expect_events("data:x\n\ndata:  x\n\ndata\n\ndata:\n\n", {{"", "x"}, {"", " x"}, {"", ""}, {"", ""}});
}

TEST(Sse, AnEventWithoutDataIsNone) {
  expect_events("event: lonely\n\ndata: x\n\n\n\n", {{"", "x"}});
}

TEST(Sse, TheLastLineNeedsNoEnd) {
  expect_events("data: [DONE]", {{"", "[DONE]"}});
  expect_events("data: x\n", {{"", "x"}});
  expect_events("event: e\ndata: 1\ndata: 2", {{"e", "1\n2"}});
  expect_events("event: lonely", {});
  expect_events("", {});
}

TEST(Sse, DataHasReadableBytesBehindIt) {
  SseParser parser;
  parser.push("data: 12345\n\ndata: a\ndata: b\n\n");
  SseEvent event;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(*parser.next(event));
    unsigned sum = 0;  // a sanitizer speaks up when these bytes aren't ours
    for (std::size_t k = 0; k < kSsePadding; ++k)
      sum += static_cast<unsigned char>(event.data.data()[event.data.size() + k]);
    EXPECT_GE(sum, 0U);
  }
}

TEST(Sse, LongLinesAndEventsAreRefusedWithTheirPlace) {
  const std::string prefix = "data: first\n\n";
  const std::string line = "data: " + std::string(kMaxSseLine, 'x');
  for (const std::size_t slice : {std::size_t{1000}, std::size_t{1} << 30}) {
    const Events events = parse(prefix + line + "\n\n", slice);
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[1].first, "ERROR");
    EXPECT_NE(events[1].second.find("line 3"), std::string::npos) << events[1].second;
    EXPECT_NE(events[1].second.find("1048576"), std::string::npos) << events[1].second;
  }
  std::string event;
  for (int i = 0; i < 5; ++i)
    event += "data: " + std::string(kMaxSseLine - 100, 'x') + "\n";
  EXPECT_EQ(parse(event, 4096).back().first, "ERROR");
  std::string comments = "data: x\n";
  for (int i = 0; i < 5; ++i)
    comments += ":" + std::string(kMaxSseLine - 100, 'x') + "\n";
  EXPECT_EQ(parse(comments, 4096).back().first, "ERROR");
}

TEST(Sse, EndlessCommentsTakeNoMemory) {
  SseParser parser;
  SseEvent event;
  for (int i = 0; i < 100'000; ++i) {
    parser.push(": still here\n\n");
    ASSERT_FALSE(*parser.next(event));
  }
  EXPECT_LT(parser.capacity(), 64U << 10);
}

TEST(Sse, ResetStartsOver) {
  SseParser parser;
  parser.push(
      "\xEF\xBB\xBF"
      "event: half\ndata: of an ev");
  SseEvent event;
  ASSERT_FALSE(*parser.next(event));
  parser.reset();
  EXPECT_EQ(parse("\xEF\xBB\xBF"
                  "data: new\n\n",
                  3, parser),
            (Events{{"", "new"}}));
}

TEST(Sse, CutAnywhereGivesABeginningOfTheSameEvents) {
  const std::string stream = "event: a\r\ndata: 1\r\ndata: 2\r\n\r\n: c\n\ndata: x\n\nevent: b\ndata: 3\n\n";
  const Events whole = parse(stream);
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    const Events some = parse(std::string_view(stream).substr(0, cut), 5);
    ASSERT_LE(some.size(), whole.size());
    for (std::size_t i = 0; i + 1 < some.size(); ++i)
      EXPECT_EQ(some[i], whole[i]) << "cut at " << cut;
  }
}

TEST(Sse, AnyBytesGiveTheSameWhateverTheSlices) {
  std::mt19937 random(7);
  static constexpr std::string_view kAlphabet = "\r\n\n: adtevn\xEF\xBB\xBF\0";
  for (int round = 0; round < 3000; ++round) {
    std::string stream;
    for (int i = 0; i < 40; ++i) {
      static constexpr std::string_view kWords[] = {"data:", "event:", "\n\n", "\r\n"};
      if (random() % 3 == 0)
        stream += kWords[random() % 4];
      else
        stream += kAlphabet[random() % kAlphabet.size()];
    }
    EXPECT_EQ(parse(stream, 1), parse(stream)) << testing::PrintToString(stream);
    EXPECT_EQ(parse(stream, 3), parse(stream)) << testing::PrintToString(stream);
  }
}

}  // namespace
}  // namespace katana::workers
