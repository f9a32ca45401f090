#include "workers/http_rules.hpp"

#include <gtest/gtest.h>

#include "common/config/settings.hpp"
#include "workers/claude/claude.hpp"
#include "workers/openai/openai.hpp"

namespace katana::workers {
namespace {

constexpr std::int64_t kNow = 1'792'567'680;  // 2026-10-21T07:28:00Z
const Wall kWall = from_unix(kNow);

net::HttpHead head(int status, std::vector<std::pair<std::string, std::string>> headers = {}) {
  return {status, std::move(headers)};
}

TEST(HttpRules, Spans) {
  EXPECT_EQ(parse_span("12ms"), Millis{12});
  EXPECT_EQ(parse_span("1s"), Millis{1000});
  EXPECT_EQ(parse_span("6m0s"), Millis{360'000});
  EXPECT_EQ(parse_span("1h2m3.5s"), Millis{3'723'500});
  EXPECT_EQ(parse_span("2"), Millis{2000});
  for (const char* bad : {"", "s", "5x", "1s2", "-1s", "nan", "1..2s"})
    EXPECT_FALSE(parse_span(bad)) << bad;
}

TEST(HttpRules, RetryAfterTakesTheFinestHeader) {
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "30"}}), kWall), Millis{30'000});
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "30"}, {"retry-after-ms", "1500"}}), kWall),
            Millis{1'500});
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "Wed, 21 Oct 2026 07:28:12 GMT"}}), kWall),
            Millis{12'000});
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "Wed, 21 Oct 2026 07:00:00 GMT"}}), kWall), Millis{0});
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "soon"}}), kWall), std::nullopt);
  EXPECT_EQ(retry_after(head(429, {{"retry-after", "1e300"}}), kWall), Millis{24 * 3600 * 1000});
  EXPECT_EQ(retry_after(head(429), kWall), std::nullopt);
}

struct Case {
  int status;
  Code code;
  bool retry;
  bool other_key;
};

TEST(HttpRules, Statuses) {
  for (const Case& c : {Case{400, Code::Rejected, false, false}, Case{401, Code::Auth, false, true},
                        Case{402, Code::Quota, false, true}, Case{403, Code::Auth, false, true},
                        Case{404, Code::Internal, false, false}, Case{408, Code::Timeout, true, false},
                        Case{409, Code::Overloaded, true, false}, Case{413, Code::Rejected, false, false},
                        Case{422, Code::Rejected, false, false}, Case{429, Code::RateLimited, true, true},
                        Case{500, Code::Overloaded, true, false}, Case{503, Code::Overloaded, true, false},
                        Case{504, Code::Timeout, true, false}, Case{529, Code::Overloaded, true, false},
                        Case{302, Code::Rejected, false, false}}) {
    const Failure failure = judge(head(c.status), "words", kWall);
    EXPECT_EQ(failure.error.code, c.code) << c.status;
    EXPECT_EQ(failure.retry, c.retry) << c.status;
    EXPECT_EQ(failure.other_key, c.other_key) << c.status;
    EXPECT_NE(failure.error.detail.find(std::to_string(c.status)), std::string::npos);
  }
}

TEST(HttpRules, TheServerHasTheLastWordOnRetries) {
  EXPECT_FALSE(judge(head(529, {{"x-should-retry", "false"}}), "", kWall).retry);
  EXPECT_TRUE(judge(head(400, {{"x-should-retry", "true"}}), "", kWall).retry);
}

TEST(HttpRules, QuotesAreShortOneLineAndValid) {
  EXPECT_EQ(quote("a\nb\xFF"), "a b\xEF\xBF\xBD");
  EXPECT_LE(quote(std::string(5000, 'x')).size(), 310U);
}

// ---- what each vendor's refusals mean ----

std::unique_ptr<Provider> claude() {
  return claude::make_provider({.base_url = "https://api.anthropic.com"});
}
std::unique_ptr<Provider> openai(config::OpenAiApi api = config::OpenAiApi::Responses) {
  return openai::make_provider({.base_url = "https://api.openai.com/v1", .api = api});
}

TEST(Refusals, Claude) {
  const auto body = [](const std::string& type, const std::string& extra = "") {
    return R"({"type":"error","error":{"type":")" + type + R"(","message":"some words")" + extra +
           R"(},"request_id":"req_1"})";
  };
  auto provider = claude();
  Failure f = provider->refusal(head(529), body("overloaded_error"), kWall);
  EXPECT_EQ(f.error.code, Code::Overloaded);
  EXPECT_TRUE(f.retry);
  EXPECT_EQ(f.error.detail, "HTTP 529: overloaded_error: some words");
  f = provider->refusal(head(429, {{"retry-after", "7"}}), body("rate_limit_error"), kWall);
  EXPECT_EQ(f.error.code, Code::RateLimited);
  EXPECT_EQ(f.error.retry_after, Millis{7'000});
  f = provider->refusal(
      head(429), body("rate_limit_error", R"(,"details":{"error_code":"enforced_spend_limit_reached"})"),
      kWall);
  EXPECT_EQ(f.error.code, Code::Quota);
  EXPECT_FALSE(f.retry);
  EXPECT_TRUE(f.other_key);
  EXPECT_EQ(provider->refusal(head(401), body("authentication_error"), kWall).error.code, Code::Auth);
  EXPECT_EQ(provider->refusal(head(413), "<html>too large", kWall).error.code, Code::Rejected);
  EXPECT_EQ(provider->refusal(head(502), "", kWall).error.code, Code::Overloaded);
}

TEST(Refusals, OpenAi) {
  const auto body = [](const std::string& code) {
    return R"({"error":{"message":"some words","type":"t","param":null,"code":)" + code + "}}";
  };
  auto provider = openai();
  Failure f = provider->refusal(head(429), body(R"("rate_limit_exceeded")"), kWall);
  EXPECT_EQ(f.error.code, Code::RateLimited);
  EXPECT_TRUE(f.retry);
  for (const char* code : {R"("insufficient_quota")", R"("project_spend_limit_exceeded")"}) {
    f = provider->refusal(head(429), body(code), kWall);
    EXPECT_EQ(f.error.code, Code::Quota) << code;
    EXPECT_FALSE(f.retry);
  }
  EXPECT_EQ(provider->refusal(head(503), body(R"("server_is_overloaded")"), kWall).error.code,
            Code::Overloaded);
  EXPECT_EQ(provider->refusal(head(400), body("null"), kWall).error.detail, "HTTP 400: t: some words");
  EXPECT_EQ(provider->refusal(head(404), R"({"error":"model 'x' not found"})", kWall).error.detail,
            "HTTP 404: model 'x' not found");
  EXPECT_EQ(provider->refusal(head(422), R"({"detail":"bad"})", kWall).error.detail, "HTTP 422: bad");
}

TEST(Refusals, AnythingButAStreamIsSaidToBeSo) {
  const net::HttpHead json = head(200, {{"content-type", "application/json"}});
  for (auto* provider : {claude().release(), openai().release()}) {
    const std::unique_ptr<Provider> owned(provider);
    const Failure f = provider->refusal(json, R"({"hello":"world"})", kWall);
    EXPECT_EQ(f.error.code, Code::Rejected);
    EXPECT_NE(f.error.detail.find("base URL"), std::string::npos) << f.error.detail;
  }
  EXPECT_EQ(
      openai()->refusal(json, R"({"error":{"message":"m","code":"server_is_overloaded"}})", kWall).error.code,
      Code::Overloaded);
}

TEST(Refusals, AnyBytesAreBorne) {
  const std::string body =
      R"({"type":"error","error":{"type":"overloaded_error","message":"x","details":{"error_code":"y"}}})";
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    EXPECT_EQ(claude()->refusal(head(529), body.substr(0, cut), kWall).error.code, Code::Overloaded);
    EXPECT_EQ(openai()->refusal(head(503), body.substr(0, cut), kWall).error.code, Code::Overloaded);
  }
}

TEST(RateHeaders, AskForAHoldOnlyWhenNothingIsLeft) {
  EXPECT_EQ(claude()->hold(head(200, {{"anthropic-ratelimit-requests-remaining", "5"},
                                      {"anthropic-ratelimit-requests-reset", "2026-10-21T07:29:00Z"}}),
                           kWall),
            std::nullopt);
  EXPECT_EQ(claude()->hold(head(200, {{"anthropic-ratelimit-output-tokens-remaining", "0"},
                                      {"anthropic-ratelimit-output-tokens-reset", "2026-10-21T07:29:00Z"}}),
                           kWall),
            Millis{60'000});
  EXPECT_EQ(openai()->hold(head(200, {{"x-ratelimit-remaining-requests", "0"},
                                      {"x-ratelimit-reset-requests", "1m0s"},
                                      {"x-ratelimit-remaining-tokens", "0"},
                                      {"x-ratelimit-reset-tokens", "12ms"}}),
                           kWall),
            Millis{60'000});
  EXPECT_EQ(openai()->hold(head(200), kWall), std::nullopt);
}

TEST(Dialect, IsLearntFromWhatTheServerNames) {
  auto chat = openai(config::OpenAiApi::Chat);
  const bus::Job job{.model = "m", .turns = {{bus::Speaker::User, "hi"}}, .max_output_tokens = 9};
  const auto body = [&] { return chat->build(job, {}, Secret())->body; };
  EXPECT_NE(body().find(R"("max_completion_tokens":9)"), std::string::npos);
  EXPECT_FALSE(chat->learn(head(400), R"({"error":{"message":"max_completion_tokens is too large"}})"));
  EXPECT_FALSE(chat->learn(head(500), "max_completion_tokens unknown"));
  EXPECT_TRUE(chat->learn(head(400),
                          R"({"error":{"message":"Unrecognized request argument: max_completion_tokens"}})"));
  EXPECT_NE(body().find(R"("max_tokens":9)"), std::string::npos);
  EXPECT_EQ(body().find("max_completion_tokens"), std::string::npos);
  EXPECT_TRUE(chat->learn(head(422), "Extra inputs are not permitted: stream_options"));
  EXPECT_EQ(body().find("stream_options"), std::string::npos);
  EXPECT_TRUE(
      chat->learn(head(400), "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."));
  EXPECT_NE(body().find("max_completion_tokens"), std::string::npos);
}

}  // namespace
}  // namespace katana::workers
