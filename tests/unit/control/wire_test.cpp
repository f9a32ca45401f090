#include "common/control/wire.hpp"

#include <gtest/gtest.h>

namespace katana::control {
namespace {

TEST(Wire, LinesComeBackAsTheyWent) {
  const auto line = write_request({"allow", {"K7M2XQ9T", "--admin", "two\nlines", "\"quoted\""}});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto request = read_request(std::string_view(line).substr(0, line.size() - 1));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->verb, "allow");
  EXPECT_EQ(request->words, (std::vector<std::string>{"K7M2XQ9T", "--admin", "two\nlines", "\"quoted\""}));
  const auto answer = read_answer(write_answer({3, "text\nof two lines"}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 3);
  EXPECT_EQ(answer->text, "text\nof two lines");
  EXPECT_EQ(read_answer(write_answer({0, "\xFF"}))->text, "\xEF\xBF\xBD");
  EXPECT_TRUE(read_request(R"({"verb":"status"})")->words.empty());
}

TEST(Wire, WhatIsWrongIsSaid) {
  const auto wrong = [](std::string_view line) { return read_request(line).error().detail; };
  EXPECT_EQ(wrong(""), "the request is not JSON");
  EXPECT_EQ(wrong({}), "the request is not JSON");
  EXPECT_EQ(wrong("{\"verb\":"), "the request is not JSON");
  EXPECT_EQ(wrong("[]"), "the request is not a JSON object");
  EXPECT_EQ(wrong("{}"), "the request has no verb");
  EXPECT_EQ(wrong(R"({"verb":1})"), "the request has no verb");
  EXPECT_EQ(wrong(R"({"verb":""})"), "the verb has no or too many letters");
  EXPECT_EQ(wrong(R"({"verb":"a","words":"b"})"), "the words are not a list of 64 at most");
  EXPECT_EQ(wrong(R"({"verb":"a","words":[1]})"), "a word is not a text");
  EXPECT_EQ(wrong("{\"verb\":\"\xFF\"}"), "the request is not JSON");
  EXPECT_EQ(wrong(std::string(60'000, '[')), "the request is not JSON");
  for (const auto* bad :
       {"", "{}", R"({"status":"0","text":""})", R"({"status":0})", R"({"status":256,"text":""})"}) {
    EXPECT_FALSE(read_answer(bad)) << bad;
  }
}

TEST(Wire, ASocketsPathHasALimit) {
  EXPECT_TRUE(socket_address("/" + std::string(106, 'x')));
  EXPECT_FALSE(socket_address("/" + std::string(107, 'x')));
  EXPECT_FALSE(socket_address(""));
}

}  // namespace
}  // namespace katana::control
