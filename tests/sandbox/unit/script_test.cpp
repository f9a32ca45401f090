#include "script.hpp"

#include <gtest/gtest.h>

#include "fault.hpp"
#include "load.hpp"

namespace sandbox {
namespace {

Script script(const std::string& json) {
  simdjson::dom::parser parser;
  Script made;
  EXPECT_EQ(read_script(parser.parse(json), made), "");
  return made;
}

TEST(Scripts, AreTakenInOrderByWhomTheyFit) {
  Scripts scripts;
  scripts.add(script(R"({"provider":"openai","answer":"for openai"})"));
  scripts.add(script(R"({"match":"blue","answer":"blue","count":2})"));
  scripts.add(script(R"({"answer":"any","skip":1})"));
  EXPECT_EQ(scripts.take("anthropic", "a blue bird").answer, "blue");
  EXPECT_FALSE(scripts.take("anthropic", "red").answer);  // skipped once
  EXPECT_EQ(scripts.take("anthropic", "red").answer, "any");
  EXPECT_EQ(scripts.take("openai", "blue").answer, "for openai");
  EXPECT_EQ(scripts.take("openai", "blue").answer, "blue");
  EXPECT_EQ(scripts.size(), 0u);
}

TEST(Scripts, APromptMayCommand) {
  Scripts scripts;
  const Script taken =
      scripts.take("openai", "x [[tokens=7]] y [[tokens=60 token_ms=2.5 first_ms=0 end=K1x2K]]");
  EXPECT_EQ(taken.tokens, 60);
  EXPECT_DOUBLE_EQ(taken.token_ms, 2.5);
  EXPECT_EQ(taken.end, "K1x2K");
  EXPECT_EQ(scripts.take("openai", "[[ tokens=x =1 unfinished").tokens, 0);
}

TEST(Scripts, RefuseNonsense) {
  simdjson::dom::parser parser;
  Script made;
  EXPECT_NE(read_script(parser.parse(R"({"provider":"other"})"_padded), made), "");
  made = Script();
  EXPECT_NE(read_script(parser.parse(R"({"tokens":-1})"_padded), made), "");
  made = Script();
  EXPECT_NE(read_script(parser.parse(R"({"error":{"status":200}})"_padded), made), "");
  EXPECT_NE(read_script(parser.parse("[]"_padded), made), "");
}

TEST(Faults, WaitForTheirCalls) {
  simdjson::dom::parser parser;
  Faults faults;
  EXPECT_EQ(faults.add(parser.parse(
                R"({"method":"sendMessage","chat":5,"kind":"429","retry_after":3,"skip":1})"_padded)),
            "");
  EXPECT_NE(faults.add(parser.parse(R"({"kind":"earthquake"})"_padded)), "");
  EXPECT_EQ(faults.take("sendmessage", 6, 1), nullptr);
  EXPECT_EQ(faults.take("getme", 5, 1), nullptr);
  EXPECT_EQ(faults.take("sendmessage", 5, 1), nullptr);  // skipped
  const Fault* fault = faults.take("sendmessage", 5, 1);
  ASSERT_NE(fault, nullptr);
  EXPECT_EQ(fault->retry_after, 3);
  EXPECT_TRUE(faults.empty());
}

TEST(LoadShape, IsReadFromWords) {
  LoadShape shape;
  EXPECT_EQ(read_load("chats=20,messages=500,tokens=60,token_ms=20.5", shape), "");
  EXPECT_EQ(shape.chats, 20);
  EXPECT_DOUBLE_EQ(shape.token_ms, 20.5);
  for (const std::string_view bad : {"chats", "chats=x", "chats=", "birds=3", "chats=0", "token_ms=-1"}) {
    LoadShape other;
    EXPECT_NE(read_load(bad, other), "") << bad;
  }
}

}  // namespace
}  // namespace sandbox
