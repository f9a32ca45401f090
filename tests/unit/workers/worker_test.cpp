#include <gmock/gmock.h>

#include "tests/unit/workers/world.hpp"

namespace katana::workers {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class WorkerTest : public World {};

TEST_F(WorkerTest, SaysHelloThenGrantsCredit) {
  FakeClient& g = gateway();
  ASSERT_THAT(g.all<bus::Hello>(), SizeIs(1));
  EXPECT_EQ(g.all<bus::Hello>()[0].provider, "claude");
  EXPECT_EQ(g.all<bus::Hello>()[0].worker_id, "w1");
  EXPECT_THAT(g.all<bus::Credit>(), IsEmpty());
  say(bus::Welcome{.gateway_id = "g1"});
  ASSERT_THAT(g.all<bus::Credit>(), SizeIs(1));
  EXPECT_EQ(g.all<bus::Credit>()[0].window, 8U);
  pass(Millis{5'000});
  EXPECT_THAT(g.all<bus::Credit>(), SizeIs(1 + g.all<bus::Beat>().size())) << "said again with each beat";
  EXPECT_THAT(g.all<bus::Hello>(), SizeIs(1));
}

TEST_F(WorkerTest, HelloIsRepeatedUntilItsWelcomeComes) {
  FakeClient& g = gateway();
  pass(Millis{2'000});  // the gateway lives and beats, but one of the two got lost
  EXPECT_THAT(g.all<bus::Hello>(), SizeIs(testing::Ge(3U)));
  say(bus::Welcome{.gateway_id = "g1"});
  const auto said = g.all<bus::Hello>().size();
  pass(Millis{2'000});
  EXPECT_THAT(g.all<bus::Hello>(), SizeIs(said));
  EXPECT_EQ(g.window, 8U);
}

TEST_F(WorkerTest, SaysHelloOnceAConnection) {
  FakeClient& g = gateway();
  say(bus::Welcome{.gateway_id = "g1"});
  worker->beat();
  ASSERT_THAT(g.all<bus::Hello>(), SizeIs(1));
  while (g.reconnects == 0)
    pass(Worker::kTick, true);
  worker->on_connected(0);
  say(bus::Welcome{.gateway_id = "g1"});
  pass(Millis{1'000});
  EXPECT_THAT(g.all<bus::Hello>(), SizeIs(1));
}

TEST_F(WorkerTest, AHelloThatIsRefusedIsSaidWithTheNextBeat) {
  FakeClient& g = gateway();
  g.full = true;
  worker->on_connected(0);
  g.full = false;
  g.sent.clear();
  pass(Millis{500});
  EXPECT_THAT(g.all<bus::Hello>(), SizeIs(1));
}

TEST_F(WorkerTest, WhatATurnBringsIsSaidAtItsEnd) {
  FakeClient& g = joined();
  turn_goes_on = true;
  say(job("j1"));
  say(job("j2"));
  answer(0, "one");
  EXPECT_THAT(g.all<bus::Accept>(), IsEmpty());
  EXPECT_THAT(g.all<bus::JobResult>(), IsEmpty());
  worker->speak();
  EXPECT_THAT(g.all<bus::Accept>(), SizeIs(2));
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(1));
  worker->speak();
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(1));
}

TEST_F(WorkerTest, ALongTurnIsNotWaitedFor) {
  FakeClient& g = joined();
  turn_goes_on = true;
  for (std::size_t i = 0; i < Worker::kWords; ++i)
    say(job("j" + std::to_string(i)));
  EXPECT_THAT(g.all<bus::Accept>(), SizeIs(Worker::kWords));
}

TEST_F(WorkerTest, ItsLastWordsComeBeforeItsGoodbye) {
  FakeClient& g = joined();
  turn_goes_on = true;
  say(job("j1"));
  answer(0, "one");
  worker->leave();
  ASSERT_GE(g.sent.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<bus::JobResult>(g.sent[g.sent.size() - 2]));
  EXPECT_TRUE(std::holds_alternative<bus::Goodbye>(g.sent.back()));
}

TEST_F(WorkerTest, TakesAJobToItsEnd) {
  FakeClient& g = joined();
  say(job("j1"));
  EXPECT_THAT(g.all<bus::Accept>(), SizeIs(1));
  ASSERT_THAT(http.requests, SizeIs(1));
  EXPECT_TRUE(busy);
  answer(0, "Hello");
  ASSERT_THAT(g.all<bus::JobResult>(), SizeIs(1));
  const bus::JobResult r = g.all<bus::JobResult>()[0];
  EXPECT_EQ(r.job, (bus::JobRef{"j1", 1}));
  EXPECT_EQ(r.text, "Hello");
  EXPECT_EQ(r.usage, (bus::Usage{7, 5, 0, 0}));
  EXPECT_EQ(r.stop, bus::StopReason::End);
  EXPECT_EQ(r.model, "m-1");
  EXPECT_EQ(r.request_id, "req_9");
  say(bus::Committed{{"j1", 1}});
  EXPECT_EQ(worker->in_hand(), 0U);
  pass(Millis{500});
  EXPECT_FALSE(busy);  // nothing to do: no ticks
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].outcome, kAnswered);
}

TEST_F(WorkerTest, TheFirstTextGoesAtOnceTheRestIsGathered) {
  FakeClient& g = joined();
  say(job("j1"));
  stream_starts(0);
  text(0, "a");
  EXPECT_EQ(g.text("j1"), "a");
  for (const char* piece : {"b", "c", "d"})
    text(0, piece);
  EXPECT_EQ(g.text("j1"), "a");
  pass(Worker::kGather + Worker::kTick);
  EXPECT_EQ(g.text("j1"), "abcd");
  const auto chunks = g.all<bus::Chunk>();
  ASSERT_THAT(chunks, SizeIs(2));
  EXPECT_EQ(chunks[0].seq, 0U);
  EXPECT_EQ(chunks[1].seq, 1U);
  text(0, "e");
  stream_ends(0);
  EXPECT_EQ(g.all<bus::JobResult>().at(0).text, "abcde");  // doesn't wait for the gathering
  pass(Millis{200});
  EXPECT_THAT(g.all<bus::Chunk>(), SizeIs(2));
}

TEST_F(WorkerTest, ChunksThatCannotGoAreSentMergedLater) {
  FakeClient& g = joined();
  say(job("j1"));
  stream_starts(0);
  g.full = true;
  text(0, "a");
  pass(Millis{300});
  text(0, "b");
  pass(Millis{300});
  g.full = false;
  pass(Millis{100});
  EXPECT_EQ(g.text("j1"), "ab");
  EXPECT_THAT(g.all<bus::Chunk>(), ElementsAre(testing::Field(&bus::Chunk::seq, 0U)));
  g.full = true;
  stream_ends(0);
  EXPECT_THAT(g.all<bus::JobResult>(), IsEmpty());
  g.full = false;
  pass(Millis{200});
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(1));
}

TEST_F(WorkerTest, AResultIsRepeatedUntilItIsCommitted) {
  FakeClient& g = joined();
  say(job("j1"));
  answer(0, "x");
  pass(Millis{3'200});
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(testing::AllOf(testing::Ge(3U), testing::Le(4U))));
  say(bus::Committed{{"j1", 2}});  // another attempt's
  EXPECT_EQ(worker->in_hand(), 1U);
  say(bus::Committed{{"j1", 1}});
  const auto before = g.all<bus::JobResult>().size();
  pass(Millis{5'000});
  EXPECT_EQ(g.all<bus::JobResult>().size(), before);
}

TEST_F(WorkerTest, BeatsListWhatIsInHand) {
  FakeClient& g = joined();
  say(job("j1"));
  say(job("j2"));
  answer(1, "x");
  pass(Millis{500});
  EXPECT_THAT(g.all<bus::Beat>().back().running,
              testing::UnorderedElementsAre(bus::JobRef{"j1", 1}, bus::JobRef{"j2", 1}));
  say(bus::Committed{{"j2", 1}});
  pass(Millis{500});
  EXPECT_THAT(g.all<bus::Beat>().back().running, ElementsAre(bus::JobRef{"j1", 1}));
}

TEST_F(WorkerTest, CancelClosesTheConnectionAtOnce) {
  FakeClient& g = joined();
  say(job("j1"));
  stream_starts(0);
  text(0, "partial answer");
  say(bus::Cancel{{"j1", 1}});
  EXPECT_TRUE(http.requests[0]->closed);
  ASSERT_THAT(g.all<bus::JobFailed>(), SizeIs(1));
  const bus::JobFailed f = g.all<bus::JobFailed>()[0];
  EXPECT_EQ(f.error.code, Code::Cancelled);
  EXPECT_EQ(f.partial_text, "partial answer");
  EXPECT_EQ(f.usage.input_tokens, 7U);
  EXPECT_GE(f.usage.output_tokens, 3U);  // billed though never told
  say(bus::Committed{{"j1", 1}});
  EXPECT_EQ(worker->in_hand(), 0U);
}

TEST_F(WorkerTest, CancelWorksInEveryState) {
  FakeClient& g = joined();
  say(bus::Cancel{{"never-seen", 1}});
  EXPECT_EQ(g.all<bus::JobFailed>().at(0).error.code, Code::Cancelled);
  EXPECT_EQ(worker->in_hand(), 0U);
  say(job("waits"));
  http.refuse(0, 529);
  say(bus::Cancel{{"waits", 1}});
  EXPECT_EQ(g.all<bus::JobFailed>().back().job.job_id, "waits");
  pass(Millis{10'000});
  EXPECT_THAT(http.requests, SizeIs(1));  // not asked again
  say(job("ended"));
  answer(1, "x");
  const auto results = g.all<bus::JobResult>().size();
  say(bus::Cancel{{"ended", 1}});
  EXPECT_EQ(g.all<bus::JobResult>().size(), results + 1);  // it has ended well
}

TEST_F(WorkerTest, AJobGivenAgainAfterItsCancelRunsAnew) {
  FakeClient& g = joined();
  say(job("j1"));
  say(bus::Cancel{{"j1", 1}});
  say(job("j1"));
  ASSERT_THAT(http.requests, SizeIs(2));
  say(bus::Committed{{"j1", 1}});  // of the cancelled one, late
  answer(1, "now");
  EXPECT_EQ(g.all<bus::JobResult>().at(0).text, "now");
}

TEST_F(WorkerTest, AJobGivenTwiceRunsOnce) {
  FakeClient& g = joined();
  say(job("j1"));
  say(job("j1"));
  EXPECT_THAT(http.requests, SizeIs(1));
  EXPECT_THAT(g.all<bus::Accept>(), SizeIs(2));
  answer(0, "x");
  say(job("j1"));
  EXPECT_THAT(http.requests, SizeIs(1));
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(2));
}

TEST_F(WorkerTest, ANewAttemptTakesTheOldOnesPlace) {
  FakeClient& g = joined();
  say(job("j1", 1));
  say(job("j1", 2));
  EXPECT_TRUE(http.requests[0]->closed);
  ASSERT_THAT(http.requests, SizeIs(2));
  answer(1, "second");
  EXPECT_EQ(g.all<bus::JobResult>().at(0).job.attempt, 2U);
  say(job("j1", 1));
  EXPECT_EQ(g.all<bus::JobFailed>().at(0).error.code, Code::Rejected);
  EXPECT_THAT(http.requests, SizeIs(2));
}

TEST_F(WorkerTest, AnOlderLeadersJobsAreRefused) {
  FakeClient& g = joined();
  bus::Job led = job("j1");
  led.bot_id = 5;
  led.epoch = 3;
  say(led);
  bus::Job old = job("j2");
  old.bot_id = 5;
  old.epoch = 2;
  say(old);
  EXPECT_EQ(g.all<bus::JobFailed>().at(0).error.code, Code::Rejected);
  old.bot_id = 6;  // another bot's epochs are its own
  say(old);
  EXPECT_THAT(http.requests, SizeIs(2));
}

TEST_F(WorkerTest, SilenceBringsAFreshConnectionAndTheJobsGoOn) {
  FakeClient& g = joined();
  say(job("j1"));
  stream_starts(0);
  text(0, "so far");
  pass(Millis{2'000}, true);
  EXPECT_EQ(g.reconnects, 0);
  pass(Millis{1'000}, true);
  EXPECT_EQ(g.reconnects, 1);
  text(0, ", and more");
  pass(Millis{500}, true);
  EXPECT_THAT(g.all<bus::Chunk>(), IsEmpty());  // nobody has said Welcome there
  ASSERT_THAT(g.all<bus::Hello>(), testing::Not(IsEmpty()));
  EXPECT_THAT(g.all<bus::Hello>()[0].in_hand, ElementsAre(bus::JobRef{"j1", 1}));
  say(bus::Welcome{.gateway_id = "g2", .adopted = {{"j1", 1}}});
  ASSERT_THAT(g.all<bus::Chunk>(), SizeIs(1));
  EXPECT_TRUE(g.all<bus::Chunk>()[0].whole);
  EXPECT_EQ(g.text("j1"), "so far, and more");
  EXPECT_EQ(g.all<bus::Credit>().at(0).window, 8U);
  text(0, "!");
  pass(Millis{100});
  EXPECT_EQ(g.text("j1"), "so far, and more!");
  EXPECT_EQ(g.all<bus::Chunk>()[1].seq, g.all<bus::Chunk>()[0].seq + 1);
  stream_ends(0);
  EXPECT_EQ(g.all<bus::JobResult>().at(0).text, "so far, and more!");
}

TEST_F(WorkerTest, AGatewayThatStartedAnewIsGreetedAtOnce) {
  FakeClient& g = joined();
  say(job("j1"));
  stream_starts(0);
  text(0, "so far");
  g.sent.clear();
  worker->on_connected(0);
  ASSERT_THAT(g.all<bus::Hello>(), SizeIs(1));
  EXPECT_THAT(g.all<bus::Hello>()[0].in_hand, ElementsAre(bus::JobRef{"j1", 1}));
  text(0, " and on");
  pass(Millis{200}, true);
  EXPECT_THAT(g.all<bus::Chunk>(), IsEmpty());
  say(bus::Welcome{.gateway_id = "g2", .adopted = {{"j1", 1}}});
  EXPECT_EQ(g.text("j1"), "so far and on");
  EXPECT_EQ(g.window, 8U);
}

TEST_F(WorkerTest, AnEndWhileNobodyListensIsToldAtTheReturn) {
  FakeClient& g = joined();
  say(job("j1"));
  pass(Millis{3'500}, true);
  EXPECT_EQ(g.reconnects, 1);
  answer(0, "late");
  EXPECT_THAT(g.all<bus::JobResult>(), IsEmpty());
  say(bus::Welcome{.gateway_id = "g2", .adopted = {{"j1", 1}}});
  EXPECT_EQ(g.all<bus::JobResult>().at(0).text, "late");
}

TEST_F(WorkerTest, UnwantedJobsEnd) {
  FakeClient& g = joined();
  say(job("j1"));
  say(bus::Welcome{.gateway_id = "g2", .unwanted = {{"j1", 1}}});
  EXPECT_TRUE(http.requests[0]->closed);
  EXPECT_EQ(worker->in_hand(), 0U);
  EXPECT_THAT(g.all<bus::JobFailed>(), IsEmpty());
}

TEST_F(WorkerTest, ALateTurnOfTheLoopJudgesNobody) {
  FakeClient& g = joined();
  clock.advance(Millis{20'000});  // stopped and thawed
  worker->beat();
  EXPECT_EQ(g.reconnects, 0);
  say(bus::Beat{});
  clock.advance(Millis{500});
  worker->beat();
  EXPECT_EQ(g.reconnects, 0);
}

TEST_F(WorkerTest, TwoGatewaysShareTheCreditAndAStandbyTakesOver) {
  FakeClient& a = joined();
  FakeClient& b = joined();
  for (int i = 0; i < 3; ++i)
    say(job("a" + std::to_string(i)), 0);
  pass(Millis{500});
  EXPECT_EQ(a.all<bus::Credit>().back().window, 8U);
  EXPECT_EQ(b.all<bus::Credit>().back().window, 5U);
  say(bus::Welcome{.gateway_id = "b", .unwanted = {{"a0", 1}}}, 1);
  EXPECT_EQ(worker->in_hand(), 3U);  // b has no say in a's jobs
  stream_starts(0);
  text(0, "from a to b");
  say(bus::Welcome{.gateway_id = "b2", .adopted = {{"a0", 1}}}, 1);
  EXPECT_EQ(b.text("a0"), "from a to b");
  stream_ends(0);
  EXPECT_EQ(b.all<bus::JobResult>().at(0).job.job_id, "a0");
  EXPECT_THAT(a.all<bus::JobResult>(), IsEmpty());
}

TEST_F(WorkerTest, NoCreditWhileTheProviderWantsFewerRequests) {
  FakeClient& g = joined();
  say(job("j1"));
  http.refuse(0, 429, {{"retry-after", "5"}});
  EXPECT_EQ(g.window, 0U);
  pass(Millis{4'900});
  EXPECT_EQ(g.window, 0U);
  EXPECT_THAT(http.requests, SizeIs(1));
  pass(Millis{300});
  EXPECT_EQ(g.window, 8U);
  EXPECT_THAT(http.requests, SizeIs(2));
  http.head(1, 200,
            {{"anthropic-ratelimit-requests-remaining", "0"},
             {"anthropic-ratelimit-requests-reset", "2030-01-01T00:00:00Z"}});
  EXPECT_EQ(g.window, 0U);
}

TEST_F(WorkerTest, NoCreditWhileUncommittedResultsFillTheMemory) {
  FakeClient& g = joined();
  const std::string megabyte(1 << 20, 'x');
  for (std::size_t i = 0; i < 22; ++i) {
    say(job("j" + std::to_string(i)));
    stream_starts(i);
    for (int k = 0; k < 3; ++k)
      text(i, megabyte.substr(0, megabyte.size() - 200));
    stream_ends(i);
    EXPECT_TRUE(i >= 20 || g.window == 8U) << i;
    g.sent.clear();
    pass(Millis{500});
  }
  EXPECT_EQ(g.window, 0U);
  for (int i = 0; i < 22; ++i)
    say(bus::Committed{{"j" + std::to_string(i), 1}});
  pass(Millis{500});
  EXPECT_EQ(g.window, 8U);
}

TEST_F(WorkerTest, DrainingGivesNoCreditAndEndsWhenAllIsCommitted) {
  FakeClient& g = joined();
  say(job("j1"));
  worker->drain();
  EXPECT_EQ(g.window, 0U);
  EXPECT_EQ(drained, 0);
  say(job("j2"));  // was under way
  answer(0, "x");
  answer(1, "y");
  EXPECT_EQ(drained, 0);
  say(bus::Committed{{"j1", 1}});
  say(bus::Committed{{"j2", 1}});
  EXPECT_EQ(drained, 1);
  worker->leave();
  EXPECT_THAT(g.all<bus::Goodbye>(), SizeIs(1));
}

TEST_F(WorkerTest, DrainingWithNothingInHandIsDoneAtOnce) {
  joined();
  worker->drain();
  EXPECT_EQ(drained, 1);
}

TEST_F(WorkerTest, AWorkerGivenFarTooMuchRefuses) {
  FakeClient& g = joined();
  for (int i = 0; i < 40; ++i)
    say(job("j" + std::to_string(i)));
  EXPECT_THAT(http.requests, SizeIs(32));
  EXPECT_EQ(g.all<bus::JobFailed>().at(0).error.code, Code::Overloaded);
}

TEST_F(WorkerTest, ReportsItsHealth) {
  joined();
  bus::Heartbeat beat;
  worker->report(beat);
  EXPECT_TRUE(beat.healthy);
  say(job("j1"));
  http.refuse(0, 401, {}, "authentication_error");
  bus::Heartbeat sick;
  worker->report(sick);
  EXPECT_FALSE(sick.healthy);
  EXPECT_NE(sick.unhealthy_reason.find("key"), std::string::npos);
  EXPECT_EQ(sick.last_error, "auth from claude");
  EXPECT_GT(sick.progress, beat.progress);
  say(job("j2"));
  bus::Heartbeat running;
  worker->report(running);
  EXPECT_EQ(running.in_flight, 1U);
  answer(1, "x");
  bus::Heartbeat well;
  worker->report(well);
  EXPECT_TRUE(well.healthy);
}

TEST_F(WorkerTest, FiveHundredStreamsAtOnce) {
  FakeClient& g = joined();
  worker->set_keys({Secret("sk-ant-key-two")});
  constexpr std::size_t kStreams = 500;
  std::size_t taken = 0;
  for (; taken < 32; ++taken)
    say(job("j" + std::to_string(taken)));
  for (std::size_t i = 0; i < kStreams; ++i) {
    stream_starts(i);
    for (int k = 0; k < 5; ++k)
      text(i, "word ");
    stream_ends(i);
    say(bus::Committed{{"j" + std::to_string(i), 1}});
    if (taken < kStreams) say(job("j" + std::to_string(taken++)));
  }
  EXPECT_THAT(g.all<bus::JobResult>(), SizeIs(kStreams));
  EXPECT_EQ(worker->in_hand(), 0U);
  pass(Millis{3'000});
  EXPECT_FALSE(busy);
}

}  // namespace
}  // namespace katana::workers
