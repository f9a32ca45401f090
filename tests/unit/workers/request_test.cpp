#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/config/settings.hpp"
#include "workers/claude/claude.hpp"
#include "workers/conversation.hpp"
#include "workers/openai/openai.hpp"

namespace katana::workers {
namespace {

using bus::Speaker;
using nlohmann::json;

bus::Job job() {
  return {.job = {"j1", 1},
          .model = "the-model",
          .system = "Be brief.",
          .turns = {{Speaker::User, "One?"}, {Speaker::Assistant, "Two."}, {Speaker::User, "Three?"}},
          .max_output_tokens = 100};
}

std::unique_ptr<Provider> openai(config::OpenAiApi api) {
  return openai::make_provider({.base_url = "http://127.0.0.1:8080/v1/", .api = api});
}

std::string claude_body(std::vector<bus::Turn> turns) {
  bus::Job out = job();
  out.turns = std::move(turns);
  const auto request = claude::make_provider({.base_url = "https://h"})->build(out, {}, Secret());
  return request ? request->body : std::string(to_string(request.error().code));
}

TEST(Conversation, IsTidied) {
  const auto messages = json::parse(claude_body({{Speaker::Assistant, "greeting"},
                                                 {Speaker::User, "a"},
                                                 {Speaker::Assistant, "  \n"},
                                                 {Speaker::User, "b"},
                                                 {Speaker::Assistant, "c"},
                                                 {Speaker::User, ""},
                                                 {Speaker::User, "d"}}))["messages"];
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0]["content"], "a\n\nb");
  EXPECT_EQ(messages[1]["content"], "c");
  EXPECT_EQ(messages[2]["content"], "d");
}

TEST(Conversation, WithoutAQuestionIsRejected) {
  EXPECT_EQ(claude_body({}), "rejected");
  EXPECT_EQ(claude_body({{Speaker::User, "  "}}), "rejected");
  EXPECT_EQ(claude_body({{Speaker::User, "a"}, {Speaker::Assistant, "b"}}), "rejected");
}

TEST(Conversation, Base64) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64(std::string("\xFF\x00\xFE", 3)), "/wD+");
}

TEST(ClaudeRequest, HasItsForm) {
  const auto provider = claude::make_provider({.base_url = "https://api.anthropic.com/"});
  const auto request = provider->build(job(), {}, Secret("sk-ant-secret"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "https://api.anthropic.com/v1/messages");
  EXPECT_FALSE(request->allow_plain);
  EXPECT_THAT(request->headers,
              testing::IsSupersetOf({"x-api-key: sk-ant-secret", "anthropic-version: 2026-10-21",
                                     "content-type: application/json"}));
  EXPECT_EQ(json::parse(request->body), json::parse(R"({"model":"the-model","max_tokens":100,"stream":true,
    "system":"Be brief.","messages":[{"role":"user","content":"One?"},{"role":"assistant","content":"Two."},
    {"role":"user","content":"Three?"}]})"));
}

TEST(ClaudeRequest, LongPromptsAreCachedAndACapIsAlwaysThere) {
  bus::Job big = job();
  big.system = std::string(5000, 'x');
  big.max_output_tokens = 0;
  const auto body =
      json::parse(claude::make_provider({.base_url = "https://h"})->build(big, {}, Secret())->body);
  EXPECT_EQ(body["cache_control"], json({{"type", "ephemeral"}}));
  EXPECT_GT(body["max_tokens"], 0);
}

TEST(OpenAiRequest, Responses) {
  const auto request = openai(config::OpenAiApi::Responses)->build(job(), {}, Secret("sk-key"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "http://127.0.0.1:8080/v1/responses");
  EXPECT_TRUE(request->allow_plain);
  EXPECT_THAT(request->headers, testing::Contains("authorization: Bearer sk-key"));
  EXPECT_EQ(json::parse(request->body), json::parse(R"({"model":"the-model","stream":true,"store":false,
    "instructions":"Be brief.","max_output_tokens":100,"input":[{"role":"user","content":"One?"},
    {"role":"assistant","content":"Two."},{"role":"user","content":"Three?"}]})"));
}

TEST(OpenAiRequest, Chat) {
  const auto request = openai(config::OpenAiApi::Chat)->build(job(), {}, Secret());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "http://127.0.0.1:8080/v1/chat/completions");
  for (const auto& header : request->headers)
    EXPECT_EQ(header.find("authorization"), std::string::npos);
  EXPECT_EQ(json::parse(request->body), json::parse(R"({"model":"the-model","stream":true,
    "stream_options":{"include_usage":true},"max_completion_tokens":100,"messages":[
    {"role":"system","content":"Be brief."},{"role":"user","content":"One?"},{"role":"assistant","content":"Two."},
    {"role":"user","content":"Three?"}]})"));
}

bus::Job with_files(const std::string& type) {
  bus::Job out = job();
  out.turns.back().attachments = {{.sha256 = "aa", .size = 3, .type = type, .name = "f"}};
  return out;
}
const Blobs kFiles = {{"aa", std::make_shared<const std::string>("foo")}};

TEST(Files, InEachProvidersForm) {
  const auto claude = claude::make_provider({.base_url = "https://h"});
  auto parts =
      json::parse(claude->build(with_files("image/png"), kFiles, Secret())->body)["messages"][2]["content"];
  EXPECT_EQ(parts, json::parse(
                       R"([{"type":"image","source":{"type":"base64","media_type":"image/png","data":"Zm9v"}},
                                   {"type":"text","text":"Three?"}])"));
  parts = json::parse(
      claude->build(with_files("application/pdf"), kFiles, Secret())->body)["messages"][2]["content"];
  EXPECT_EQ(parts[0]["type"], "document");
  const auto responses = openai(config::OpenAiApi::Responses);
  parts =
      json::parse(responses->build(with_files("image/png"), kFiles, Secret())->body)["input"][2]["content"];
  EXPECT_EQ(parts, json::parse(R"([{"type":"input_text","text":"Three?"},
                                   {"type":"input_image","image_url":"data:image/png;base64,Zm9v"}])"));
  const auto chat = openai(config::OpenAiApi::Chat);
  parts = json::parse(
      chat->build(with_files("application/pdf"), kFiles, Secret())->body)["messages"][3]["content"];
  EXPECT_EQ(parts[1]["file"]["file_data"], "data:application/pdf;base64,Zm9v");
  parts =
      json::parse(chat->build(with_files("text/plain"), kFiles, Secret())->body)["messages"][3]["content"];
  EXPECT_EQ(parts[1]["text"], "[f]\nfoo\n[end of f]");
}

TEST(Files, UnknownKindsAndMissingOnesAreRefused) {
  for (const auto& provider : {claude::make_provider({.base_url = "https://h"}).release(),
                               openai(config::OpenAiApi::Chat).release()}) {
    const std::unique_ptr<Provider> owned(provider);
    EXPECT_EQ(provider->build(with_files("video/mp4"), kFiles, Secret()).error().code, Code::Rejected);
    EXPECT_EQ(provider->build(with_files("image/png"), {}, Secret()).error().code, Code::Internal);
  }
}

TEST(Requests, BearTextThatIsNoUtf8) {
  bus::Job odd = job();
  odd.turns.back().text = "\xFF\xFE broken";
  EXPECT_TRUE(json::accept(claude::make_provider({.base_url = "https://h"})->build(odd, {}, Secret())->body));
  EXPECT_TRUE(json::accept(openai(config::OpenAiApi::Chat)->build(odd, {}, Secret())->body));
}

}  // namespace
}  // namespace katana::workers
