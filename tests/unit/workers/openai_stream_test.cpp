#include "common/config/settings.hpp"
#include "tests/unit/workers/decode.hpp"
#include "workers/openai/openai.hpp"

namespace katana::workers {
namespace {

std::string event(const std::string& name, const std::string& data) {
  return "event: " + name + "\ndata: " + data + "\n\n";
}

const std::string kCreated =
    event("response.created",
          R"({"type":"response.created","response":{"id":"resp_1","object":"response",)"
          R"("status":"in_progress","error":null,"model":"gpt-6.1-sol","output":[],"usage":null}})");
const std::string kDeltas =
    event("response.output_item.added",
          R"({"type":"response.output_item.added","item":{"type":"message"}})") +
    event(
        "response.output_text.delta",
        R"({"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Good "})") +
    event(
        "response.output_text.delta",
        R"({"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"day\u2026"})") +
    event("response.output_text.done", R"({"type":"response.output_text.done","text":"Good day\u2026"})");

std::string finish(const std::string& name, const std::string& extra) {
  return event(
      "response." + name,
      R"({"type":"response.)" + name + R"(","response":{"id":"resp_1","status":")" + name + "\"," + extra +
          R"("model":"gpt-6.1-sol","output":[{"type":"message","content":[{"text":"Good day"}]}],)"
          R"("usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":30},"output_tokens":87,)"
          R"("output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}}})");
}

class ResponsesStream : public testing::Test {
 protected:
  std::unique_ptr<Provider> provider_ = openai::make_provider({.base_url = "https://h/v1"});
};

TEST_F(ResponsesStream, WholeAnswer) {
  const Decoded got = decode(*provider_, kCreated + kDeltas + finish("completed", ""));
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.answer.text, "Good day\u2026");
  EXPECT_EQ(got.answer.stop, bus::StopReason::End);
  EXPECT_EQ(got.answer.model, "gpt-6.1-sol");
  EXPECT_EQ(got.answer.id, "resp_1");
  EXPECT_EQ(got.answer.usage, (bus::Usage{36, 87, 30, 0}));
}

TEST_F(ResponsesStream, SurvivesSlicesCutsAndMutations) {
  expect_robust(*provider_, kCreated + kDeltas + finish("completed", ""), "Good day\u2026");
}

TEST_F(ResponsesStream, Incomplete) {
  const auto stop_for = [&](const std::string& reason) {
    return decode(*provider_,
                  kCreated + kDeltas +
                      finish("incomplete", R"("incomplete_details":{"reason":")" + reason + "\"},"))
        .answer.stop;
  };
  EXPECT_EQ(stop_for("max_output_tokens"), bus::StopReason::Length);
  EXPECT_EQ(stop_for("content_filter"), bus::StopReason::Filtered);
  EXPECT_EQ(stop_for("else"), bus::StopReason::Other);
}

TEST_F(ResponsesStream, ARefusalIsItsText) {
  const Decoded got = decode(
      *provider_,
      kCreated + event("response.refusal.delta", R"({"type":"response.refusal.delta","delta":"I can't."})") +
          finish("completed", ""));
  EXPECT_EQ(got.answer.text, "I can't.");
  EXPECT_EQ(got.answer.stop, bus::StopReason::Refusal);
  const Decoded cut = decode(
      *provider_,
      kCreated + event("response.refusal.delta", R"({"type":"response.refusal.delta","delta":"I ca"})"));
  EXPECT_FALSE(cut.answer.stop) << "it isn't whole yet";
}

TEST_F(ResponsesStream, FailuresInAllTheirForms) {
  const auto failure = [&](const std::string& name, const std::string& data) {
    const Decoded got = decode(*provider_, kCreated + event(name, data));
    return got.failure ? got.failure->error : Error{Code::Internal, "no failure"};
  };
  EXPECT_EQ(
      failure(
          "response.failed",
          R"({"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow"}}})")
          .code,
      Code::RateLimited);
  EXPECT_EQ(
      failure("error", R"({"type":"error","code":"server_is_overloaded","message":"busy","param":null})")
          .code,
      Code::Overloaded);
  EXPECT_EQ(
      failure("error", R"({"type":"error","error":{"code":"insufficient_quota","message":"empty"}})").code,
      Code::Quota);
  EXPECT_EQ(failure("error", R"({"type":"error","code":"context_length_exceeded","message":"long"})").code,
            Code::Rejected);
  EXPECT_EQ(failure("error", "[]").code, Code::Malformed);
}

TEST_F(ResponsesStream, DoneIsTolerated) {
  EXPECT_TRUE(decode(*provider_, kCreated + kDeltas + "data: [DONE]").done);
}

// ---- Chat Completions ----

std::string chunk(const std::string& choices, const std::string& usage = "null") {
  return R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"llama","choices":[)" +
         choices + R"(],"usage":)" + usage + "}\n\n";
}

const std::string kChat =
    chunk(R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})") +
    chunk(R"({"index":0,"delta":{"content":"Hi "},"finish_reason":null})") +
    chunk(R"({"index":0,"delta":{"reasoning_content":"hm","content":null},"finish_reason":null})") +
    chunk(R"({"index":0,"delta":{"content":"there"},"finish_reason":null})") +
    chunk(R"({"index":0,"delta":{},"finish_reason":"stop"})") +
    chunk("", R"({"prompt_tokens":11,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}})") +
    "data: [DONE]\n\n";

class ChatStream : public testing::Test {
 protected:
  std::unique_ptr<Provider> provider_ =
      openai::make_provider({.base_url = "https://h/v1", .api = config::OpenAiApi::Chat});
};

TEST_F(ChatStream, WholeAnswer) {
  const Decoded got = decode(*provider_, kChat);
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.answer.text, "Hi there");
  EXPECT_EQ(got.answer.stop, bus::StopReason::End);
  EXPECT_EQ(got.answer.model, "llama");
  EXPECT_EQ(got.answer.id, "chatcmpl-1");
  EXPECT_EQ(got.answer.usage, (bus::Usage{11, 3, 8, 0}));
}

TEST_F(ChatStream, SurvivesSlicesCutsAndMutations) {
  expect_robust(*provider_, kChat, "Hi there");
}

TEST_F(ChatStream, StopReasonsAndRefusals) {
  const auto stop_for = [&](const std::string& reason) {
    return decode(*provider_, chunk(R"({"delta":{},"finish_reason":")" + reason + "\"}")).answer.stop;
  };
  EXPECT_EQ(stop_for("length"), bus::StopReason::Length);
  EXPECT_EQ(stop_for("content_filter"), bus::StopReason::Filtered);
  EXPECT_EQ(stop_for("tool_calls"), bus::StopReason::Other);
  const Decoded got = decode(*provider_, chunk(R"({"delta":{"refusal":"No."},"finish_reason":null})") +
                                             chunk(R"({"delta":{},"finish_reason":"stop"})"));
  EXPECT_EQ(got.answer.text, "No.");
  EXPECT_EQ(got.answer.stop, bus::StopReason::Refusal);
  EXPECT_FALSE(decode(*provider_, chunk(R"({"delta":{"refusal":"N"},"finish_reason":null})")).answer.stop);
}

TEST_F(ChatStream, AnErrorInMidStream) {
  const Decoded got = decode(*provider_, "data: {\"error\":{\"message\":\"gone\",\"code\":502}}\n\n");
  ASSERT_TRUE(got.failure);
  EXPECT_EQ(got.failure->error.code, Code::Overloaded);
  EXPECT_FALSE(decode(*provider_, "data: {\"error\":null,\"choices\":[]}\n\n").failure);
}

}  // namespace
}  // namespace katana::workers
