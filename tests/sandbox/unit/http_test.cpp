#include "http.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

TEST(ParseHead, ReadsARequest) {
  const std::string_view input =
      "POST /bot1:a/sendMessage?x=1%202 HTTP/1.1\r\nHost: here\r\nContent-Length:  5 \r\nExpect: "
      "100-continue\r\n\r\nhello";
  Request request;
  Framing framing;
  ASSERT_EQ(parse_head(input, request, framing), Parse::Done);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/bot1:a/sendMessage");
  EXPECT_EQ(request.query, "x=1%202");
  EXPECT_EQ(request.header("HOST"), "here");
  EXPECT_TRUE(request.keep_alive);
  EXPECT_EQ(framing.content_length, 5u);
  EXPECT_TRUE(framing.expects_continue);
  EXPECT_EQ(input.substr(framing.head_size), "hello");
}

TEST(ParseHead, WaitsForEveryByteOfTheHead) {
  const std::string_view input = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
  Request request;
  Framing framing;
  for (std::size_t size = 0; size < input.size(); ++size) {
    EXPECT_EQ(parse_head(input.substr(0, size), request, framing), Parse::Incomplete) << size;
  }
  EXPECT_EQ(parse_head(input, request, framing), Parse::Done);
}

TEST(ParseHead, TakesAbsoluteFormAndOldVersions) {
  Request request;
  Framing framing;
  ASSERT_EQ(parse_head("GET http://host:1/path?q HTTP/1.0\r\n\r\n", request, framing), Parse::Done);
  EXPECT_EQ(request.path, "/path");
  EXPECT_TRUE(request.old_http);
  EXPECT_FALSE(request.keep_alive);
}

TEST(ParseHead, RefusesWhatIsBroken) {
  Request request;
  Framing framing;
  for (const std::string_view input :
       {"GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET relative HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n: nameless\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"}) {
    EXPECT_EQ(parse_head(input, request, framing), Parse::Bad) << input;
  }
}

TEST(ParseHead, KeepsToItsLimits) {
  Request request;
  Framing framing;
  EXPECT_EQ(parse_head("GET /" + std::string(kMaxHead, 'x'), request, framing), Parse::TooLarge);
  EXPECT_EQ(parse_head("POST / HTTP/1.1\r\nContent-Length: 104857601\r\n\r\n", request, framing),
            Parse::TooLarge);
}

TEST(Dechunker, GivesTheSameWholeAndByteByByte) {
  const std::string_view input =
      "5;ext=1\r\nhello\r\n1\r\n \r\nA\r\nworld12345\r\n0\r\nTrailer: x\r\n\r\nNEXT";
  std::string whole;
  std::size_t used = 0;
  Dechunker at_once;
  ASSERT_EQ(at_once.feed(input, used, whole), Parse::Done);
  EXPECT_EQ(whole, "hello world12345");
  EXPECT_EQ(input.substr(used), "NEXT");
  std::string piecewise;
  Dechunker slowly;
  for (std::size_t i = 0; i < used; ++i) {
    std::size_t taken = 0;
    EXPECT_EQ(slowly.feed(input.substr(i, 1), taken, piecewise),
              i + 1 == used ? Parse::Done : Parse::Incomplete);
    EXPECT_EQ(taken, 1u);
  }
  EXPECT_EQ(piecewise, whole);
}

TEST(Dechunker, RefusesWhatIsBroken) {
  for (const std::string_view input :
       {"x\r\n", "\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\rX", "0\r\n\rX"}) {
    Dechunker dechunker;
    std::string body;
    std::size_t used = 0;
    EXPECT_EQ(dechunker.feed(input, used, body), Parse::Bad) << input;
  }
  Dechunker dechunker;
  std::string body;
  std::size_t used = 0;
  EXPECT_EQ(dechunker.feed("fffffffff\r\n", used, body), Parse::TooLarge);
  EXPECT_EQ(Dechunker().feed("7fffffff\r\n", used, body), Parse::TooLarge);
}

TEST(Url, Decodes) {
  EXPECT_EQ(url_decode("a+b%20c%C3%A9%zz%4"), "a b c\xC3\xA9%zz%4");
  EXPECT_EQ(url_decode("a+b", false), "a+b");
  EXPECT_EQ(query_value("a=1&bb=two%21&c", "bb"), "two!");
  EXPECT_EQ(query_value("a=1&bb=two", "b"), "");
}

}  // namespace
}  // namespace sandbox
