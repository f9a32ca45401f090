#include <limits>

#include <gtest/gtest.h>

#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"
#include "common/core/dates.hpp"
#include "common/core/host.hpp"
#include "common/core/id.hpp"
#include "common/core/result.hpp"
#include "common/core/secret.hpp"
#include "common/core/text.hpp"

namespace katana {
namespace {

TEST(Result, ContextStandsInFrontOutermostFirst) {
  const Error e =
      with_context(with_context(Error{Code::Internal, "disk full"}, "writing"), "opening the store");
  EXPECT_EQ(e.detail, "opening the store: writing: disk full");
  EXPECT_FALSE(e.transient());
  EXPECT_TRUE((Error{Code::RateLimited, ""}).transient());
}

TEST(Backoff, DoublesUpToItsCapAndOnlyEverShortens) {
  Backoff b(Millis{500}, Millis{8000});
  for (const int full : {500, 1000, 2000, 4000, 8000, 8000}) {
    const auto wait = b.next(random_u64()).count();
    EXPECT_LE(wait, full);
    EXPECT_GE(wait, full - full / 4);
  }
  b.reset();
  EXPECT_EQ(b.next(0).count(), 500);
  for (int i = 0; i < 100; ++i)
    EXPECT_LE(b.next(7).count(), 8000);
}

TEST(Secret, PrintsAsItsMask) {
  EXPECT_EQ(Secret("1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456XYZ").masked(), "123...:XYZ");
  EXPECT_EQ(Secret("sk-ant-api03-abcdefxyz").masked(), "sk-...xyz");
  EXPECT_EQ(Secret("short").masked(), "***");
  EXPECT_EQ(Secret("").masked(), "***");
}

TEST(Secret, IsMatchedByItselfAlone) {
  const Secret secret("sixteen-or-more-characters");
  EXPECT_TRUE(secret.matches("sixteen-or-more-characters"));
  for (const char* wrong :
       {"", "s", "sixteen-or-more-character", "sixteen-or-more-characterz", "Sixteen-or-more-characters",
        "sixteen-or-more-characterssixteen-or-more-characters"})
    EXPECT_FALSE(secret.matches(wrong)) << wrong;
  EXPECT_FALSE(Secret().matches(""));
}

TEST(Secret, KnowsATokensShape) {
  EXPECT_TRUE(looks_like_bot_token("1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456789"));
  for (const char* bad : {"", ":", "123:", ":abcdefghijklmnopqrstuvwxyz", "12a4:ABCDEFGHIJKLMnopqrstuvwxyz",
                          "1234567890:short", "1234567890:ABCDEFGHIJKLM nopqrstuvwxyz123456789"}) {
    EXPECT_FALSE(looks_like_bot_token(bad)) << bad;
  }
}

TEST(Text, CountsUtf16Units) {
  EXPECT_EQ(text::utf16_length("abc"), 3u);
  EXPECT_EQ(text::utf16_length("äß€"), 3u);
  EXPECT_EQ(text::utf16_length("😀"), 2u);
  EXPECT_EQ(text::prefix_of_utf16("a😀b", 2), 1u) << "a surrogate pair is never split";
  EXPECT_EQ(text::prefix_of_utf16("a😀b", 3), 5u);
  EXPECT_EQ(text::shorten("a😀bcd", 4), "a😀…");
}

TEST(Text, SanitizesEveryKindOfBadByte) {
  EXPECT_EQ(text::sanitize("a\xFF"
                           "b"),
            "a\xEF\xBF\xBD"
            "b");
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    EXPECT_FALSE(text::is_valid_utf8(bad));
    EXPECT_TRUE(text::is_valid_utf8(text::sanitize(bad)));
  }
  EXPECT_EQ(text::sanitize("äß€😀"), "äß€😀");
}

TEST(Text, FindsTheCodePointThatIsStillArriving) {
  const std::string smile = "😀";
  for (std::size_t n = 1; n < smile.size(); ++n)
    EXPECT_EQ(text::incomplete_tail("x" + smile.substr(0, n)), n);
  EXPECT_EQ(text::incomplete_tail(smile), 0u);
  EXPECT_EQ(text::incomplete_tail(""), 0u);
  EXPECT_EQ(text::incomplete_tail("\x80\x80\x80\x80"), 0u);
}

TEST(Text, TrimsAndFlattens) {
  EXPECT_EQ(text::trim(" \n a b \t"), "a b");
  EXPECT_EQ(text::trim(" \n "), "");
  EXPECT_EQ(text::one_line("a\nb\x1b[0m"), "a b [0m");
}

TEST(Id, IsFreshAndOfTheLengthAsked) {
  EXPECT_EQ(fresh_id(8).size(), 8u);
  EXPECT_NE(fresh_id(), fresh_id());
}

TEST(Clock, WallJumpsLeaveMonotonicTimeAlone) {
  ManualClock c;
  const auto before = c.mono();
  c.jump_wall(Millis{-3'600'000});
  EXPECT_EQ(c.mono(), before);
  EXPECT_EQ(from_unix(to_unix(from_unix(5))), from_unix(5));
}

TEST(Clock, TimesBeyondOurCountStopAtItsEnd) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(to_unix(from_unix(kMost)), kFarthestUnix);
  EXPECT_EQ(to_unix(from_unix(-kMost)), -kFarthestUnix);
  EXPECT_EQ(to_unix(from_unix_ms(kMost)), kFarthestUnix);
  EXPECT_EQ(to_unix_ms(from_unix_ms(-kMost)), -kFarthestUnix * 1000);
}

TEST(Host, LoopbackIsWhatNobodyElseCanAnswerFor) {
  for (const auto* here : {"127.0.0.1", "127.0.0.53", "localhost", "LocalHost", "[::1]", "::1"})
    EXPECT_TRUE(is_loopback(here)) << here;
  for (const auto* elsewhere : {"10.0.0.1", "127.example.org", "127.0.0.1.example.org",
                                "localhost.example.org", "[::2]", "", "128.0.0.1", "127.1"})
    EXPECT_FALSE(is_loopback(elsewhere)) << elsewhere;
}

TEST(Dates, AreReadAsServersWriteThem) {
  constexpr std::int64_t kNow = 1'792'567'680;  // 2026-10-21T07:28:00Z
  EXPECT_EQ(to_unix(parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").value()), kNow);
  EXPECT_EQ(to_unix(parse_rfc3339("2026-10-21T07:28:00Z").value()), kNow);
  EXPECT_EQ(to_unix(parse_rfc3339("2026-10-21T07:28:00.123Z").value()), kNow);
  EXPECT_EQ(to_unix(parse_rfc3339("2026-10-21T09:28:00+02:00").value()), kNow);
  EXPECT_EQ(to_unix(parse_rfc3339("2026-10-21T02:58:00-04:30").value()), kNow);
  for (const char* bad : {"", "Z", "2026-10-21", "2026-13-21T07:28:00Z", "2026-02-30T07:28:00Z",
                          "2026-10-21T25:28:00Z", "2026-10-21T07:28:00", "2026-10-21T07:28:00+2",
                          "2026-10-21T07:28:00.Z5", "....-..-..T..:..:..Z", "2826-10-21T07:28:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
  for (const char* bad : {"", "Wed, 21 Okt 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 CET", "21 Oct 2026",
                          "Wed, 99 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 0x:28:00 GMT"}) {
    EXPECT_FALSE(parse_http_date(bad)) << bad;
  }
}

}  // namespace
}  // namespace katana
