#include <gmock/gmock.h>

#include "tests/unit/workers/world.hpp"

/// The retry loop, the keys and the time limits, as a gateway sees them.
namespace katana::workers {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class CallTest : public World {
 protected:
  void SetUp() override {
    joined();
    say(job("j1"));
  }
  [[nodiscard]] std::vector<bus::JobFailed> failures() const { return clients[0]->all<bus::JobFailed>(); }
  [[nodiscard]] std::vector<bus::JobResult> results() const { return clients[0]->all<bus::JobResult>(); }
};

TEST_F(CallTest, TriesTwiceMoreThenGivesUp) {
  http.refuse(0, 529, {}, "overloaded_error");
  EXPECT_THAT(http.requests, SizeIs(1));
  pass(Millis{700});  // 0.5 s with jitter, found by the next look at it
  ASSERT_THAT(http.requests, SizeIs(2));
  http.refuse(1, 500);
  pass(Millis{600});
  ASSERT_THAT(http.requests, SizeIs(2));
  pass(Millis{600});  // 1 s
  ASSERT_THAT(http.requests, SizeIs(3));
  EXPECT_THAT(failures(), IsEmpty());
  http.refuse(2, 503);
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Overloaded);
  pass(Millis{20'000});
  EXPECT_THAT(http.requests, SizeIs(3));
  EXPECT_EQ(reports.at(0).retries, 2);
  EXPECT_EQ(reports.at(0).outcome, "overloaded");
}

TEST_F(CallTest, ARetryThatWorksIsAnAnswer) {
  http.broken(0, {Code::Network, "connection refused"});
  pass(Millis{700});
  answer(1, "fine");
  EXPECT_EQ(results().at(0).text, "fine");
  EXPECT_THAT(failures(), IsEmpty());
}

TEST_F(CallTest, WaitsAsLongAsTheServerAsks) {
  http.refuse(0, 429, {{"retry-after", "20"}}, "rate_limit_error");
  pass(Millis{19'000});
  EXPECT_THAT(http.requests, SizeIs(1));
  pass(Millis{1'200});
  EXPECT_THAT(http.requests, SizeIs(2));
}

TEST_F(CallTest, AWaitThatIsTooLongIsAFailureThatTellsIt) {
  http.refuse(0, 429, {{"retry-after", "300"}}, "rate_limit_error");
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::RateLimited);
  EXPECT_EQ(failures()[0].error.retry_after, Millis{300'000});
  bus::Job hurried = job("j2");
  hurried.time_left_ms = 10'000;
  say(hurried);
  http.refuse(1, 429, {{"retry-after", "11"}}, "rate_limit_error");
  EXPECT_THAT(failures(), SizeIs(2));
}

TEST_F(CallTest, WhatIsRefusedForGoodIsNotRepeated) {
  http.refuse(0, 400, {}, "invalid_request_error");
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Rejected);
  say(job("j2"));
  http.refuse(1, 500, {{"x-should-retry", "false"}});
  EXPECT_THAT(failures(), SizeIs(2));
}

TEST_F(CallTest, AfterTheFirstTextNothingIsRepeated) {
  stream_starts(0);
  text(0, "Half an ans");
  http.data(0,
            "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n");
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Overloaded);
  EXPECT_EQ(failures()[0].partial_text, "Half an ans");
  EXPECT_EQ(failures()[0].request_id, "req_9");
  EXPECT_TRUE(http.requests[0]->closed);
  pass(Millis{10'000});
  EXPECT_THAT(http.requests, SizeIs(1));
}

TEST_F(CallTest, AnErrorInTheStreamBeforeAnyTextIsRepeated) {
  stream_starts(0);
  http.data(0, "event: error\ndata: {\"error\":{\"type\":\"api_error\",\"message\":\"oops\"}}\n\n");
  EXPECT_THAT(failures(), IsEmpty());
  pass(Millis{700});
  answer(1, "fine");
  EXPECT_EQ(results().at(0).text, "fine");
  EXPECT_EQ(results().at(0).usage, (bus::Usage{7, 5, 0, 0}));
}

TEST_F(CallTest, ATryThatTheProviderEndedBeforeAnyTextIsFreeWhicheverItWas) {
  for (std::size_t i = 0; i < 3; ++i) {
    stream_starts(i);  // says 7 tokens of input
    http.data(i, R"(event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}

)");
    pass(Millis{5'000});
  }
  EXPECT_EQ(failures().at(0).usage, bus::Usage{});
}

TEST_F(CallTest, AStreamThatEndsTooEarlyIsABrokenConnection) {
  stream_starts(0);
  text(0, "Half");
  http.data(0, "event: content_block_delta\ndata: {\"delta\":{\"ty");
  http.done(0);
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Network);
  EXPECT_EQ(failures()[0].partial_text, "Half");
}

TEST_F(CallTest, AStreamThatLacksOnlyItsFarewellIsWhole) {
  stream_starts(0);
  text(0, "All");
  http.data(0,
            "event: message_delta\ndata: "
            "{\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"output_tokens\":9}}\n\n");
  http.broken(0, {Code::Network, "reset"});
  ASSERT_THAT(results(), SizeIs(1));
  EXPECT_EQ(results()[0].stop, bus::StopReason::Length);
}

TEST_F(CallTest, SilenceForAMinuteIsATimeoutAndRepeated) {
  stream_starts(0);
  pass(Millis{59'800});
  EXPECT_FALSE(http.requests[0]->closed);
  pass(Millis{400});
  EXPECT_TRUE(http.requests[0]->closed);
  pass(Millis{700});
  EXPECT_THAT(http.requests, SizeIs(2));
}

TEST_F(CallTest, ATryThatWasBrokenOffIsBookedBesideTheOneThatWorked) {
  stream_starts(0);  // says 7 tokens of input
  pass(Millis{60'200});
  pass(Millis{700});
  answer(1, "fine");
  EXPECT_EQ(results().at(0).usage, (bus::Usage{14, 6, 0, 0}));
}

TEST_F(CallTest, AProviderThatSaysNothingIsNoWorkerThatHangs) {
  bus::Heartbeat beat;
  const auto progress = [&] {
    worker->report(beat);
    return beat.progress;
  };
  // The watchdog calls a worker hung after 180 s without progress; three tries may take longer together.
  for (int quiet = 0, tries = 0; failures().empty() && tries < 1000; ++tries) {
    const auto before = progress();
    pass(Millis{1'000});
    quiet = progress() == before ? quiet + 1 : 0;
    ASSERT_LT(quiet, 130);
  }
  EXPECT_EQ(failures().at(0).error.code, Code::Timeout);
  EXPECT_THAT(http.requests, SizeIs(3));
}

TEST_F(CallTest, PingsAreNoAnswerButThinkingIs) {
  stream_starts(0);
  for (int i = 0; i < 8; ++i) {  // 4 minutes of thought
    pass(Millis{30'000});
    ping(0);
    http.data(0,
              "event: content_block_delta\ndata: "
              "{\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n");
  }
  EXPECT_FALSE(http.requests[0]->closed);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(http.requests[0]->closed);
    pass(Millis{30'000});
    ping(0);
  }
  pass(Millis{300});
  EXPECT_TRUE(http.requests[0]->closed);
}

TEST_F(CallTest, NonsenseInTheStreamBeforeAnyTextIsAskedAgain) {
  stream_starts(0);
  http.data(0, "event: content_block_delta\ndata: {\"delta\":{\"ty\n\n");
  EXPECT_THAT(failures(), IsEmpty());
  EXPECT_TRUE(http.requests[0]->closed);
  pass(Millis{700});
  answer(1, "fine");
  EXPECT_EQ(results().at(0).text, "fine");
}

TEST_F(CallTest, NonsenseInTheStreamAfterTextKeepsTheText) {
  stream_starts(0);
  text(0, "Half");
  http.data(0, "event: content_block_delta\ndata: {\"delta\":{\"ty\n\n");
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Malformed);
  EXPECT_EQ(failures()[0].partial_text, "Half");
  pass(Millis{10'000});
  EXPECT_THAT(http.requests, SizeIs(1));
}

TEST_F(CallTest, SilenceAfterTextKeepsTheText) {
  stream_starts(0);
  text(0, "Half");
  pass(Millis{59'800});
  EXPECT_TRUE(failures().empty());
  pass(Millis{400});
  ASSERT_FALSE(failures().empty());
  EXPECT_EQ(failures()[0].error.code, Code::Timeout);
  EXPECT_EQ(failures()[0].partial_text, "Half");
  pass(Millis{10'000});
  EXPECT_EQ(http.requests.size(), 1u) << "never asked again once there is text";
}

TEST_F(CallTest, MerePingsAfterTextKeepTheText) {
  stream_starts(0);
  text(0, "Half");
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(failures().empty());
    pass(Millis{30'000});
    ping(0);
  }
  pass(Millis{300});
  ASSERT_FALSE(failures().empty());
  EXPECT_EQ(failures()[0].error.code, Code::Timeout);
  EXPECT_EQ(failures()[0].partial_text, "Half");
  pass(Millis{10'000});
  EXPECT_EQ(http.requests.size(), 1u);
}

TEST_F(CallTest, TheJobsTimeEndsIt) {
  bus::Job hurried = job("j2");
  hurried.time_left_ms = 5'000;
  say(hurried);
  stream_starts(1);
  for (int i = 0; i < 10; ++i) {
    text(1, "x");
    pass(Millis{480});
  }
  EXPECT_THAT(failures(), IsEmpty());
  pass(Millis{400});
  ASSERT_THAT(failures(), SizeIs(1));
  EXPECT_EQ(failures()[0].error.code, Code::Timeout);
  EXPECT_EQ(failures()[0].partial_text, "xxxxxxxxxx");
}

TEST_F(CallTest, AnEndedStreamsConnectionIsLeftToEndSoThatItServesAgain) {
  stream_starts(0);
  text(0, "x");
  http.data(0,
            "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: "
            "message_stop\ndata: {}\n\n");
  EXPECT_THAT(results(), SizeIs(1));
  EXPECT_FALSE(http.requests[0]->closed);
  say(bus::Committed{{"j1", 1}});
  pass(Millis{1'000});
  EXPECT_FALSE(http.requests[0]->closed);
  pass(Millis{1'500});
  EXPECT_TRUE(http.requests[0]->closed);  // it had its time
}

TEST_F(CallTest, AJobThatCannotBeAskedFailsAtOnce) {
  bus::Job empty = job("j2");
  empty.turns[0].text = " ";
  say(empty);
  EXPECT_EQ(failures().at(0).error.code, Code::Rejected);
  EXPECT_THAT(http.requests, SizeIs(1));
}

TEST_F(CallTest, OtherContentThanAStreamIsRefused) {
  http.head(0, 200, {{"content-type", "application/json"}});
  http.data(0, "{\"hello\":1}");
  http.done(0, 200, {{"content-type", "application/json"}});
  EXPECT_EQ(failures().at(0).error.code, Code::Rejected);
}

TEST_F(CallTest, APageIsNoStream) {
  http.head(0, 200, {{"content-type", "text/html; charset=utf-8"}});
  http.data(0, "<html>Please log in</html>");
  http.done(0, 200, {{"content-type", "text/html; charset=utf-8"}});
  EXPECT_EQ(failures().at(0).error.code, Code::Rejected);
  pass(Millis{10'000});
  EXPECT_THAT(http.requests, SizeIs(1)) << "asking again mends no address";
}

TEST_F(CallTest, ARefusalMayComeByteByByteAndBeCutAnywhere) {
  const std::string body =
      R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: \u00e9"}})";
  const auto refuse_with = [&](const std::string& id, std::string_view bytes) {
    if (id != "j1") say(job(id));
    const std::size_t request = http.requests.size() - 1;
    http.head(request, 400);
    for (const char byte : bytes)
      http.data(request, {&byte, 1});
    http.done(request, 400);
    say(bus::Committed{{id, 1}});
    return failures().back().error;
  };
  EXPECT_NE(refuse_with("j1", body).detail.find("prompt is too long: é"), std::string::npos);
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    const Error error = refuse_with("cut-" + std::to_string(cut), std::string_view(body).substr(0, cut));
    EXPECT_EQ(error.code, Code::Rejected) << cut;
    EXPECT_NE(error.detail.find("HTTP 400"), std::string::npos) << cut;
  }
}

TEST_F(CallTest, AKeyThatTheServerRepeatsIsMasked) {
  http.head(0, 401);
  http.data(0, R"({"error":{"type":"authentication_error","message":"bad key sk-ant-key-one!"}})");
  http.done(0, 401);
  EXPECT_EQ(failures().at(0).error.detail.find("sk-ant-key-one"), std::string::npos);
  EXPECT_NE(failures().at(0).error.detail.find("sk-...one"), std::string::npos);
}

TEST_F(CallTest, AKeyInTheServersWordsIsHiddenAlsoWhereTheyAreCut) {
  for (const std::size_t before : {280U, 290U, 295U}) {
    say(job("cut-" + std::to_string(before)));
    const std::size_t request = http.requests.size() - 1;
    http.head(request, 401);
    http.data(request, R"({"error":{"type":"authentication_error","message":")" + std::string(before, '.') +
                           R"(sk-ant-key-one"}})");
    http.done(request, 401);
    const std::string said = failures().back().error.detail;
    EXPECT_EQ(said.find("sk-ant-"), std::string::npos) << said;
  }
}

// ---- several keys ----

class KeysTest : public World {
 protected:
  KeysTest() : World({Secret("sk-ant-key-one"), Secret("sk-ant-key-two"), Secret("sk-ant-key-six")}) {}
  void SetUp() override { joined(); }
  [[nodiscard]] std::string key_of(std::size_t i) const { return http.requests.at(i)->sent.headers.back(); }
};

TEST_F(KeysTest, ARefusedKeyGivesWayAtOnceAndRests) {
  say(job("j1"));
  EXPECT_EQ(key_of(0), "x-api-key: sk-ant-key-one");
  http.refuse(0, 401, {}, "authentication_error");
  ASSERT_THAT(http.requests, SizeIs(2));
  EXPECT_EQ(key_of(1), "x-api-key: sk-ant-key-two");
  answer(1, "fine");
  say(job("j2"));
  EXPECT_EQ(key_of(2), "x-api-key: sk-ant-key-two");
  EXPECT_EQ(clients[0]->all<bus::Credit>().back().window, 8U);
}

TEST_F(KeysTest, AllKeysRefusedIsTheEnd) {
  say(job("j1"));
  for (std::size_t i = 0; i < 3; ++i)
    http.refuse(i, 401, {}, "authentication_error");
  EXPECT_THAT(http.requests, SizeIs(3));
  EXPECT_EQ(clients[0]->all<bus::JobFailed>().at(0).error.code, Code::Auth);
}

TEST_F(KeysTest, ALimitedKeyComesBackAfterItsTime) {
  say(job("j1"));
  http.refuse(0, 429, {{"retry-after", "30"}}, "rate_limit_error");
  http.refuse(1, 429, {{"retry-after", "60"}}, "rate_limit_error");
  http.refuse(2, 429, {{"retry-after", "50"}}, "rate_limit_error");
  EXPECT_EQ(clients[0]->all<bus::Credit>().back().window, 0U);
  pass(Millis{50'200});
  ASSERT_THAT(http.requests, SizeIs(4));
  answer(3, "at last");
  EXPECT_EQ(clients[0]->all<bus::JobResult>().at(0).text, "at last");
}

TEST_F(KeysTest, WaitsForTheKeyThatIsBackFirstNotForTheLastOneAsked) {
  say(job("j1"));
  http.refuse(0, 429, {{"retry-after", "5"}}, "rate_limit_error");
  http.refuse(1, 429, {{"retry-after", "300"}}, "rate_limit_error");
  http.refuse(2, 429, {{"retry-after", "200"}}, "rate_limit_error");
  EXPECT_THAT(clients[0]->all<bus::JobFailed>(), IsEmpty());
  pass(Millis{5'200});
  ASSERT_THAT(http.requests, SizeIs(4));
  EXPECT_EQ(key_of(3), "x-api-key: sk-ant-key-one");
}

TEST_F(KeysTest, ALimitedKeyIsWaitedForWhereTheOthersAreRefused) {
  say(job("j1"));
  http.refuse(0, 429, {{"retry-after", "5"}}, "rate_limit_error");
  http.refuse(1, 401, {}, "authentication_error");
  http.refuse(2, 401, {}, "authentication_error");
  EXPECT_THAT(clients[0]->all<bus::JobFailed>(), IsEmpty());
  pass(Millis{5'200});
  ASSERT_THAT(http.requests, SizeIs(4));
  EXPECT_EQ(key_of(3), "x-api-key: sk-ant-key-one");
}

TEST_F(KeysTest, ALimitIsToldAsOneThoughTheLastKeyAskedWasRefused) {
  say(job("j1"));
  http.refuse(0, 429, {{"retry-after", "90"}}, "rate_limit_error");
  http.refuse(1, 401, {}, "authentication_error");
  http.refuse(2, 401, {}, "authentication_error");
  const auto failed = clients[0]->all<bus::JobFailed>();
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].error.code, Code::RateLimited);
  EXPECT_EQ(clients[0]->all<bus::Credit>().back().window, 0U) << "nothing new before a key is back";
}

TEST_F(KeysTest, FreshKeysAreHeldForGood) {
  say(job("j1"));
  for (std::size_t i = 0; i < 3; ++i)
    http.refuse(i, 401, {}, "authentication_error");
  bus::Heartbeat beat{.healthy = true};
  worker->report(beat);
  EXPECT_FALSE(beat.healthy);
  worker->set_keys({Secret("sk-ant-key-new")});
  beat = {.healthy = true};
  worker->report(beat);
  EXPECT_TRUE(beat.healthy);
}

}  // namespace
}  // namespace katana::workers
