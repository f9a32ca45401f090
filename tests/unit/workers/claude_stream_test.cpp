#include "common/config/settings.hpp"
#include "common/core/text.hpp"
#include "tests/unit/workers/decode.hpp"
#include "workers/claude/claude.hpp"

namespace katana::workers {
namespace {

const std::string kStart =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],)"
    R"("model":"claude-opus-5-5","stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":100,)"
    R"("cache_read_input_tokens":1000,"output_tokens":1}}})"
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
const std::string kThinking =
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}})"
    "\n\nevent: content_block_stop\n"
    R"(data: {"type":"content_block_stop","index":0})"
    "\n\n";
const std::string kText =
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello \"you\"\n"}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"\u00e9\ud83d\ude00!"}})"
    "\n\nevent: content_block_stop\n"
    R"(data: {"type":"content_block_stop","index":1})"
    "\n\n";

std::string end(const std::string& reason) {
  return "event: message_delta\n"
         R"(data: {"type":"message_delta","delta":{"stop_reason":")" +
         reason +
         R"(","stop_sequence":null},"usage":{"output_tokens":15}})"
         "\n\nevent: message_stop\n"
         R"(data: {"type":"message_stop"})"
         "\n\n";
}

class ClaudeStream : public testing::Test {
 protected:
  std::unique_ptr<Provider> provider_ = claude::make_provider({.base_url = "https://h"});
};

TEST_F(ClaudeStream, WholeAnswer) {
  const Decoded got = decode(*provider_, kStart + kThinking + kText + end("end_turn"));
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.pings, 1);
  EXPECT_EQ(got.answer.text, "Hello \"you\"\n\u00e9\U0001F600!");
  EXPECT_EQ(got.answer.stop, bus::StopReason::End);
  EXPECT_EQ(got.answer.model, "claude-opus-5-5");
  EXPECT_EQ(got.answer.id, "msg_1");
  EXPECT_EQ(got.answer.usage, (bus::Usage{1125, 15, 1000, 100}));
}

TEST_F(ClaudeStream, SurvivesSlicesCutsAndMutations) {
  expect_robust(*provider_, kStart + kThinking + kText + end("end_turn"), "Hello \"you\"\n\u00e9\U0001F600!");
}

TEST_F(ClaudeStream, EveryStopReason) {
  const std::pair<const char*, bus::StopReason> cases[] = {
      {"end_turn", bus::StopReason::End},
      {"max_tokens", bus::StopReason::Length},
      {"stop_sequence", bus::StopReason::StopSequence},
      {"tool_use", bus::StopReason::Other},
      {"pause_turn", bus::StopReason::Other},
      {"refusal", bus::StopReason::Filtered},
      {"model_context_window_exceeded", bus::StopReason::Length},
      {"something_new", bus::StopReason::Other}};
  for (const auto& [name, stop] : cases)
    EXPECT_EQ(decode(*provider_, kStart + end(name)).answer.stop, stop) << name;
}

TEST_F(ClaudeStream, UnknownEventsAndDeltasAreSkipped) {
  const std::string odd =
      "event: novelty\ndata: {\"type\":\"novelty\",\"x\":[1,2,{}]}\n\n"
      "event: content_block_delta\n"
      "data: "
      "{\"type\":\"content_block_delta\",\"index\":9,\"delta\":{\"type\":\"new_delta\",\"text\":\"no\"}}\n\n";
  const Decoded got = decode(*provider_, kStart + odd + kText + odd + end("end_turn"));
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.answer.text, "Hello \"you\"\n\u00e9\U0001F600!");
}

TEST_F(ClaudeStream, EventsMayLackTheirName) {
  const Decoded got =
      decode(*provider_,
             "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
             "{\"type\":\"text_delta\",\"text\":\"x\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n");
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.answer.text, "x");
  EXPECT_EQ(got.answer.stop, bus::StopReason::Other);
}

TEST_F(ClaudeStream, AnErrorInMidStream) {
  const std::string overloaded =
      "event: error\ndata: "
      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
  const Decoded got = decode(*provider_, kStart + kText + overloaded);
  ASSERT_TRUE(got.failure);
  EXPECT_EQ(got.failure->error.code, Code::Overloaded);
  EXPECT_TRUE(got.failure->retry);
  EXPECT_EQ(got.failure->error.detail, "error in mid-stream: overloaded_error: Overloaded");
  EXPECT_FALSE(got.answer.text.empty());
}

TEST_F(ClaudeStream, MalformedEventsAreNamed) {
  const Decoded got = decode(*provider_, kStart + "event: content_block_delta\ndata: {\"delta\": 5}\n\n");
  ASSERT_TRUE(got.failure);
  EXPECT_EQ(got.failure->error.code, Code::Malformed);
  EXPECT_NE(got.failure->error.detail.find("content_block_delta"), std::string::npos);
  EXPECT_EQ(decode(*provider_, "event: x\ndata: \n\n").failure->error.code, Code::Malformed);
}

TEST_F(ClaudeStream, TextIsValidUtf8InAnyCase) {
  for (const char* half : {R"(a\ud83d)", R"(a\ud83d\n)", R"(\ude00b)", R"(\ud83d\ud83d)"}) {
    const Decoded got =
        decode(*provider_, std::string("event: content_block_delta\ndata: {\"delta\":{\"type\":"
                                       "\"text_delta\",\"text\":\"") +
                               half + "\"}}\n\n");
    EXPECT_TRUE(text::is_valid_utf8(got.answer.text)) << half;
    EXPECT_TRUE(!got.failure || got.failure->error.code == Code::Malformed);
  }
}

}  // namespace
}  // namespace katana::workers
