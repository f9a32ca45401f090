#include "gateway/dispatch/dispatcher.hpp"

#include <gtest/gtest.h>

#include "tests/unit/dispatch/fake_store.hpp"

namespace katana::gateway {
namespace {

/// What the dispatcher sends, by peer; `gone` peers can't be reached.
class FakeBus : public bus::JobServer {
 public:
  std::map<bus::PeerId, std::vector<bus::Message>> sent;
  std::set<bus::PeerId> gone;
  std::set<bus::PeerId> full;
  bool broken = false;  ///< no job fits a frame

  Result<void> send(const bus::PeerId& to, const bus::Message& message) override {
    if (gone.contains(to)) return katana::fail(Code::Network, "no such peer");
    if (full.contains(to)) return katana::fail(Code::Overloaded, "queue full");
    if (broken && std::holds_alternative<bus::Job>(message))
      return katana::fail(Code::Rejected, "frame over the limit");
    sent[to].push_back(message);
    return {};
  }
  template <class T>
  std::vector<T> take(const bus::PeerId& peer) {
    std::vector<T> found;
    for (auto& m : sent[peer]) {
      if (auto* t = std::get_if<T>(&m)) found.push_back(std::move(*t));
    }
    std::erase_if(sent[peer], [](const bus::Message& m) { return std::holds_alternative<T>(m); });
    return found;
  }
};

struct DispatcherTest : testing::Test {
  ManualClock clock;
  FakeStore store;
  FakeBus bus;
  std::map<std::int64_t, std::string> text;
  std::map<std::int64_t, std::string> answers;
  std::vector<Code> failures;
  std::vector<std::string> dead;
  int stale = 0;
  std::map<std::string, bus::Usage> used;
  std::vector<std::string> fallback;
  std::unique_ptr<Dispatcher> d;

  void SetUp() override {
    d = std::make_unique<Dispatcher>(
        store, clock,
        DispatchPolicy{.bot_id = 1,
                       .gateway_id = "g",
                       .fallback = fallback,
                       .default_model = [](const std::string& p) { return p + "-default"; },
                       .max_output_tokens = [](const std::string&) { return 100u; }},
        DispatchEvents{.on_text = [this](std::int64_t t, std::string_view s) { text[t] += s; },
                       .on_whole = [this](std::int64_t t, std::string s) { text[t] = std::move(s); },
                       .on_restart = [this](std::int64_t t) { text[t].clear(); },
                       .on_settled = [this](std::int64_t t, std::string s) { answers[t] = std::move(s); },
                       .on_result = [](const bus::JobResult&, const std::string&) {},
                       .on_failure = [this](const bus::JobFailed& f,
                                            const std::string&) { failures.push_back(f.error.code); },
                       .on_usage = [this](const std::string& provider, const std::string& model,
                                          const bus::Usage& u) { used[provider + "/" + model] += u; },
                       .on_stale = [this] { ++stale; },
                       .on_dead = [this](const std::string& job) { dead.push_back(job); },
                       .blob = {}});
    d->attach(bus);
  }

  void join(const bus::PeerId& peer, const std::string& id, std::uint32_t window = 10,
            const std::string& provider = "claude", std::vector<bus::JobRef> in_hand = {}) {
    d->on_message(peer, bus::Hello{.worker_id = id, .provider = provider, .in_hand = std::move(in_hand)});
    d->on_message(peer, bus::Credit{window});
    store.run();
  }
  void ask(std::int64_t turn, std::int64_t chat, const std::string& provider = "claude",
           bool may_run = false) {
    d->add(Question{.turn_id = turn,
                    .chat = {chat, 0},
                    .job = {"job" + std::to_string(turn), 1},
                    .provider = provider,
                    .model = "m",
                    .may_run = may_run});
    store.run();
  }
  void answer(const bus::PeerId& peer, bus::JobRef ref, const std::string& words) {
    d->on_message(peer, bus::JobResult{.job = std::move(ref), .text = words});
    store.run();
  }
  void pass(Millis time, const std::vector<bus::PeerId>& alive = {}) {
    for (Millis left = time; left > Millis{0}; left -= Millis{500}) {
      clock.advance(Millis{500});
      for (const auto& peer : alive)
        d->on_message(peer, bus::Beat{});
      d->tick();
      store.run();
    }
  }
};

TEST_F(DispatcherTest, AJobGoesOutGrowsAndIsCommittedOnce) {
  join("p", "w");
  ask(1, 100);
  const auto jobs = bus.take<bus::Job>("p");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].job, (bus::JobRef{"job1", 1}));
  EXPECT_EQ(jobs[0].turns.back().text, "question of job1");
  d->on_message("p", bus::Chunk{.job = {"job1", 1}, .seq = 0, .text = "Hel"});
  d->on_message("p", bus::Chunk{.job = {"job1", 1}, .seq = 1, .text = "lo"});
  EXPECT_EQ(text[1], "Hello");
  d->on_message("p", bus::JobResult{.job = {"job1", 1},
                                    .text = "Hello.",
                                    .usage = {.input_tokens = 3, .output_tokens = 2},
                                    .model = "m-20261101"});
  EXPECT_TRUE(bus.take<bus::Committed>("p").empty()) << "not before it is durable";
  d->on_message("p", bus::JobResult{.job = {"job1", 1}, .text = "Hello."});
  store.run();
  EXPECT_EQ(answers[1], "Hello.");
  ASSERT_EQ(store.settlements.size(), 1u);
  EXPECT_EQ(store.settlements[0].model, "m") << "prices go by the name that was asked for";
  EXPECT_EQ(bus.take<bus::Committed>("p").size(), 1u);
  answer("p", {"job1", 1}, "Hello.");
  EXPECT_EQ(bus.take<bus::Committed>("p").size(), 1u) << "a repeated result is committed again and ignored";
  EXPECT_EQ(used["claude/m"], (bus::Usage{.input_tokens = 3, .output_tokens = 2})) << "and booked once";
  EXPECT_EQ(store.settlements.size(), 1u);
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, HowFarAnAttemptCameIsStoredWithItsEnd) {
  const Wall start = clock.wall();
  const auto accept_and_say = [&](const bus::PeerId& peer, bus::JobRef ref) {
    for (int i = 0; i < 2; ++i) {  // repeated ones change nothing
      clock.advance(Millis{10});
      d->on_message(peer, bus::Accept{ref});
    }
    for (std::uint32_t seq = 0; seq < 2; ++seq) {
      clock.advance(Millis{100});
      d->on_message(peer, bus::Chunk{.job = ref, .seq = seq, .text = "x"});
    }
  };
  join("p", "w");
  ask(1, 100);
  EXPECT_EQ(d->stage_of(1), "leased");
  d->on_message("p", bus::Accept{{"job1", 1}});
  EXPECT_EQ(d->stage_of(1), "accepted by its worker");
  accept_and_say("p", {"job1", 1});
  EXPECT_EQ(d->stage_of(1), "streaming");
  d->on_message("p", bus::Goodbye{});
  store.run();
  ASSERT_EQ(store.ends.size(), 1u);
  EXPECT_EQ(store.ends[0].steps.accepted_at, start);
  EXPECT_EQ(store.ends[0].steps.first_text_at, start + Millis{120});
  join("q", "w2");
  const Wall again = clock.wall();
  accept_and_say("q", {"job1", 2});
  answer("q", {"job1", 2}, "xx");
  ASSERT_EQ(store.settlements.size(), 1u);
  EXPECT_EQ(store.settlements[0].steps.accepted_at, again + Millis{10});
  EXPECT_EQ(store.settlements[0].steps.first_text_at, again + Millis{120});

  ask(2, 200, "claude", true);  // from before our start: what its worker repeats is no first text
  join("r", "w3", 10, "claude", {{"job2", 1}});
  d->on_message("r", bus::Chunk{.job = {"job2", 1}, .seq = 4, .text = "so far", .whole = true});
  answer("r", {"job2", 1}, "so far, so good");
  ASSERT_EQ(store.settlements.size(), 2u);
  EXPECT_EQ(store.settlements[1].steps.first_text_at, Wall{});
}

TEST_F(DispatcherTest, ARepeatedOrLatePieceIsNoGap) {
  join("p", "w");
  ask(1, 100);
  const auto say = [&](std::uint32_t seq, std::string words, bool whole = false) {
    d->on_message("p", bus::Chunk{.job = {"job1", 1}, .seq = seq, .text = std::move(words), .whole = whole});
  };
  say(0, "One ");
  say(0, "One ");
  say(1, "two ");
  say(0, "One ", true);
  say(2, "three");
  EXPECT_EQ(text[1], "One two three");
  join("p-again", "w", 10, "claude", {{"job1", 1}});  // after which only a whole text is believed
  d->on_message("p-again", bus::Chunk{.job = {"job1", 1}, .seq = 2, .text = "One two three", .whole = true});
  d->on_message("p-again", bus::Chunk{.job = {"job1", 1}, .seq = 3, .text = " four"});
  EXPECT_EQ(text[1], "One two three four");
}

TEST_F(DispatcherTest, NeverExceedsCreditAndSharesTheLoad) {
  join("p1", "w1", 2);
  join("p2", "w2", 2);
  for (int i = 1; i <= 6; ++i)
    ask(i, 100 + i);
  const auto at_p1 = bus.take<bus::Job>("p1");
  const auto at_p2 = bus.take<bus::Job>("p2");
  ASSERT_EQ(at_p1.size(), 2u);
  ASSERT_EQ(at_p2.size(), 2u);
  EXPECT_EQ(d->waiting(), 2u);
  answer("p1", at_p1[0].job, "a");
  EXPECT_EQ(d->waiting(), 1u);
  d->on_message("p2", bus::Credit{0});
  answer("p2", at_p2[0].job, "b");
  EXPECT_EQ(bus.take<bus::Job>("p2").size(), 0u) << "a draining worker gets nothing";
}

TEST_F(DispatcherTest, TellsWhoseWorkersAreMissing) {
  EXPECT_EQ(d->unserved(), "");
  ask(1, 100, "openai");
  EXPECT_EQ(d->unserved(), "openai");
  join("p", "w");
  EXPECT_EQ(d->unserved(), "openai");
  join("o", "wo", 0, "openai");
  EXPECT_EQ(d->unserved(), "") << "it is here, and takes nothing just now";
}

TEST_F(DispatcherTest, OneAnswerAtATimeInAConversation) {
  join("p", "w");
  ask(1, 100);
  ask(2, 100);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
  answer("p", {"job1", 1}, "a");
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
}

TEST_F(DispatcherTest, AKilledWorkersJobMovesAndItsLateResultIsFenced) {
  join("p1", "w1");
  ask(1, 100);
  d->on_message("p1", bus::Chunk{.job = {"job1", 1}, .seq = 0, .text = "old"});
  join("p2", "w2");
  bus.gone.insert("p1");
  pass(Millis{2'000}, {"p2"});
  const auto jobs = bus.take<bus::Job>("p2");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].job.attempt, 2u);
  EXPECT_EQ(text[1], "") << "a new attempt starts over";
  d->on_message("p1", bus::Chunk{.job = {"job1", 1}, .seq = 1, .text = "late"});
  EXPECT_EQ(text[1], "");
  bus.gone.clear();
  answer("p1", {"job1", 1}, "late answer");
  EXPECT_TRUE(store.settlements.empty());
  EXPECT_EQ(stale, 1);
  EXPECT_EQ(bus.take<bus::Committed>("p1").size(), 1u) << "so that it can forget it";
  answer("p2", {"job1", 2}, "answer");
  EXPECT_EQ(answers[1], "answer");
}

TEST_F(DispatcherTest, SilenceIsGoneWithinThreeSeconds) {
  join("p1", "w1");
  ask(1, 100);
  bus.take<bus::Job>("p1");
  pass(Millis{2'000});
  EXPECT_EQ(d->pool().count("claude"), 1);
  pass(Millis{500});
  EXPECT_EQ(d->pool().count("claude"), 0);
  EXPECT_EQ(d->waiting(), 1u);
}

TEST_F(DispatcherTest, ALateTurnOfOurOwnJudgesNobody) {
  join("p1", "w1");
  ask(1, 100);
  clock.advance(Millis{9'000});
  d->tick();
  EXPECT_EQ(d->pool().count("claude"), 1) << "its messages may still wait in the socket";
}

TEST_F(DispatcherTest, AReconnectedWorkerGoesOnWithItsJobs) {
  join("p1", "w1");
  ask(1, 100);
  bus.gone.insert("p1");
  pass(Millis{500});
  join("p1b", "w1", 10, "claude", {{"job1", 1}, {"job9", 4}});
  const auto welcome = bus.take<bus::Welcome>("p1b");
  ASSERT_EQ(welcome.size(), 1u);
  EXPECT_EQ(welcome[0].adopted, (std::vector<bus::JobRef>{{"job1", 1}}));
  EXPECT_EQ(welcome[0].unwanted, (std::vector<bus::JobRef>{{"job9", 4}}));
  d->on_message("p1b", bus::Chunk{.job = {"job1", 1}, .seq = 7, .text = "more"});
  EXPECT_EQ(text[1], "") << "a gap is not shown";
  d->on_message("p1b", bus::Chunk{.job = {"job1", 1}, .seq = 8, .text = "all of it", .whole = true});
  d->on_message("p1b", bus::Chunk{.job = {"job1", 1}, .seq = 9, .text = "!"});
  EXPECT_EQ(text[1], "all of it!");
  pass(Millis{3'000}, {"p1b"});
  answer("p1b", {"job1", 1}, "done");
  EXPECT_EQ(answers[1], "done");
}

TEST_F(DispatcherTest, AnotherKeyDoesNotTakeOverALivingWorkersName) {
  join("00000001@1", "w1");
  ask(1, 100);
  join("00000002@2", "w1", 10, "claude", {{"job1", 1}});
  EXPECT_TRUE(bus.take<bus::Welcome>("00000002@2").empty());
  d->on_message("00000002@2", bus::Chunk{.job = {"job1", 1}, .seq = 0, .text = "stolen"});
  EXPECT_EQ(text[1], "");
  answer("00000001@1", {"job1", 1}, "done");
  EXPECT_EQ(answers[1], "done");

  // Its own fresh key: its connection under the old one is closed.
  ask(2, 200);
  bus.gone.insert("00000001@1");
  pass(Millis{500});
  join("00000003@3", "w1", 10, "claude", {{"job2", 1}});
  ASSERT_EQ(bus.take<bus::Welcome>("00000003@3").size(), 1u);
  answer("00000003@3", {"job2", 1}, "done, too");
  EXPECT_EQ(answers[2], "done, too");
}

TEST_F(DispatcherTest, AfterOurRestartALeasedJobWaitsForItsWorkerTenSeconds) {
  ask(1, 100, "claude", true);
  ask(2, 200, "claude", true);
  ask(3, 300);
  join("p", "w", 10, "claude", {{"job1", 1}});
  EXPECT_EQ(bus.take<bus::Welcome>("p")[0].adopted.size(), 1u);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u) << "a new job goes out at once";
  d->on_message("p", bus::Beat{.running = {{"job1", 1}, {"job3", 1}}});
  for (int i = 0; i < 19; ++i) {
    clock.advance(Millis{500});
    d->on_message("p", bus::Beat{.running = {{"job1", 1}, {"job3", 1}}});
    d->tick();
  }
  store.run();
  EXPECT_TRUE(bus.take<bus::Job>("p").empty());
  pass(Millis{500}, {"p"});
  const auto jobs = bus.take<bus::Job>("p");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].job, (bus::JobRef{"job2", 2}));
}

TEST_F(DispatcherTest, AJobMissingFromItsWorkersBeatsIsGivenAgain) {
  join("p", "w");
  ask(1, 100);
  bus.take<bus::Job>("p");
  pass(Millis{9'500}, {"p"});
  EXPECT_TRUE(bus.take<bus::Job>("p").empty());
  pass(Millis{500}, {"p"});
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
}

TEST_F(DispatcherTest, APoisonJobIsGivenUpAfterTwoDeaths) {
  join("p1", "w1");
  ask(1, 100);
  bus.gone.insert("p1");
  pass(Millis{2'000});
  join("p2", "w2");
  bus.gone.insert("p2");
  pass(Millis{2'000});
  ASSERT_EQ(store.settlements.size(), 1u);
  EXPECT_FALSE(store.settlements[0].answered);
  EXPECT_TRUE(store.settlements[0].dead);
  EXPECT_NE(answers[1].find("job1"), std::string::npos) << "its user gets the id to tell the operator";
  EXPECT_EQ(dead, std::vector<std::string>{"job1"});
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, AWorkerThatComesBackWasNotDead) {
  join("p1", "w1");
  ask(1, 100);
  bus.gone.insert("p1");
  pass(Millis{2'000});
  ASSERT_EQ(store.ends.size(), 1u);
  EXPECT_EQ(store.ends[0].deaths, 1);
  join("p1-again", "w1");  // its connection was cut, for longer than anybody waits
  EXPECT_EQ(store.leased_deaths, 0) << "the store knows, too";
  bus.gone.insert("p1-again");
  pass(Millis{2'000});
  EXPECT_TRUE(dead.empty());
  ASSERT_EQ(store.ends.size(), 2u);
  EXPECT_EQ(store.ends[1].deaths, 1);
  join("p2", "w2");
  bus.gone.insert("p2");
  pass(Millis{2'000});
  EXPECT_EQ(dead.size(), 1u) << "two that never came back";
}

TEST_F(DispatcherTest, TheFirstJobOfAnotherChatIsAmongTheNextTwo) {
  for (std::int64_t turn = 1; turn <= 1'000; ++turn)
    ask(turn, 100);
  ask(1'001, 200);
  join("p", "w", 2);
  const auto jobs = bus.take<bus::Job>("p");
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0].job.job_id, "job1");
  EXPECT_EQ(jobs[1].job.job_id, "job1001");
  answer("p", {"job1", 1}, "Done.");
  ask(1'002, 300);
  answer("p", {"job1001", 1}, "Done.");
  answer("p", bus.take<bus::Job>("p").at(0).job, "Done.");
  EXPECT_TRUE(
      std::ranges::any_of(store.settlements, [](const Settlement& s) { return s.job.job_id == "job2"; }));
}

TEST_F(DispatcherTest, CancelWorksInEveryState) {
  EXPECT_FALSE(d->cancel({100, 0}));
  ask(1, 100);  // waiting: no worker
  EXPECT_TRUE(d->cancel({100, 0}));
  store.run();
  EXPECT_NE(answers[1].find("Stopped"), std::string::npos);

  join("p", "w");
  ask(2, 100);
  EXPECT_TRUE(d->cancel({100, 0}));
  ASSERT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
  d->on_message("p", bus::JobFailed{.job = {"job2", 1},
                                    .error = {Code::Cancelled, ""},
                                    .partial_text = "half",
                                    .usage = {.output_tokens = 3}});
  store.run();
  EXPECT_EQ(answers[2], "half\n\n⏹ Stopped.");
  EXPECT_EQ(store.settlements.back().usage.output_tokens, 3u) << "what was billed is booked";

  d->add(Question{.turn_id = 3, .chat = {100, 0}, .job = {"job3", 1}, .provider = "claude", .model = "m"});
  EXPECT_TRUE(d->cancel({100, 0}));  // leasing
  store.run();
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
}

TEST_F(DispatcherTest, AStopReachesAWorkerThatWasOutOfReach) {
  join("p", "w");
  ask(1, 100);
  bus.full.insert("p");
  EXPECT_TRUE(d->cancel({100, 0}));
  bus.full.clear();
  pass(Millis{500}, {"p"});
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u) << "its socket was full";
  join("p2", "w", 10, "claude", {{"job1", 1}});
  EXPECT_EQ(bus.take<bus::Cancel>("p2").size(), 1u) << "it came back with the job in hand";
}

TEST_F(DispatcherTest, AStopAfterOurRestartReachesTheWorkerThatComesBack) {
  ask(1, 100, "claude", true);
  EXPECT_TRUE(d->cancel({100, 0}));
  d->on_message("p", bus::Hello{.worker_id = "w", .provider = "claude", .in_hand = {{"job1", 1}}});
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
  store.run();
  EXPECT_NE(answers[1].find("Stopped"), std::string::npos);
}

TEST_F(DispatcherTest, AStopNeedsNoWorkerOnceTheLeaseIsTakenBack) {
  join("p", "w");
  store.commits_fail = true;
  d->add(Question{.turn_id = 1, .chat = {100, 0}, .job = {"job1", 1}, .provider = "claude", .model = "m"});
  EXPECT_TRUE(d->cancel({100, 0}));
  store.run();
  store.commits_fail = false;
  d->on_message("p", bus::Credit{0});
  pass(Millis{500}, {"p"});
  EXPECT_NE(answers[1].find("Stopped"), std::string::npos);
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, AStopWhileTheStoreIsBrokenIsOneFailure) {
  join("p", "w");
  ask(1, 100);
  store.broken = true;
  bus.gone.insert("p");
  pass(Millis{2'000});
  EXPECT_TRUE(d->cancel({100, 0}));
  pass(Millis{2'000});
  EXPECT_EQ(failures, std::vector<Code>{Code::Cancelled});
  store.broken = false;
  pass(Millis{500});
  EXPECT_NE(answers[1].find("Stopped"), std::string::npos);
}

TEST_F(DispatcherTest, AJobThatTwoWorkersClaimIsTheLastOnes) {
  join("p1", "w1");
  ask(1, 100);
  join("p2", "w2", 10, "claude", {{"job1", 1}});
  answer("p2", {"job1", 1}, "answer");
  EXPECT_EQ(answers[1], "answer");
  pass(Millis{500}, {"p1", "p2"});
  d->on_message("p1", bus::Goodbye{});
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, AWorkerThatSaysHelloDuringALeaseStillCountsTheJob) {
  join("p", "w", 1);
  d->add(Question{.turn_id = 1, .chat = {100, 0}, .job = {"job1", 1}, .provider = "claude", .model = "m"});
  join("p", "w", 1);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
  ask(2, 200);
  EXPECT_EQ(d->waiting(), 1u) << "its credit is in use";
}

TEST_F(DispatcherTest, AJobThatCrossesWithAHelloIsNotGivenTwice) {
  join("p", "w");
  ask(1, 100);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
  join("p", "w");  // on the same connection, said before the job came
  pass(Millis{1'000}, {"p"});
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 0u);
  answer("p", {"job1", 1}, "answer");
  EXPECT_EQ(answers[1], "answer");
  EXPECT_EQ(bus.take<bus::Committed>("p").size(), 1u);
}

TEST_F(DispatcherTest, AJobThatNeverCameIsMissedInTheBeatsAlsoAfterAHello) {
  join("p", "w");
  ask(1, 100);
  join("p", "w");
  bus.take<bus::Job>("p");
  pass(Millis{11'000}, {"p"});
  const auto again = bus.take<bus::Job>("p");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].job.attempt, 2u);
}

TEST_F(DispatcherTest, AFailureReachesItsUserInWords) {
  join("p", "w");
  ask(1, 100);
  d->on_message("p", bus::JobFailed{.job = {"job1", 1}, .error = {Code::Overloaded, "529"}});
  store.run();
  EXPECT_EQ(failures, std::vector<Code>{Code::Overloaded});
  EXPECT_NE(answers[1].find("overloaded"), std::string::npos);
  EXPECT_EQ(answers[1].find("529"), std::string::npos) << "details are for the log";
  EXPECT_EQ(bus.take<bus::Committed>("p").size(), 1u);
}

struct FallbackTest : DispatcherTest {
  FallbackTest() { fallback = {"claude", "openai"}; }
};

TEST_F(FallbackTest, TheNextProviderIsAskedWhileNothingWasShown) {
  join("c", "wc");
  join("o", "wo", 10, "openai");
  ask(1, 100);
  d->on_message(
      "c",
      bus::JobFailed{.job = {"job1", 1}, .error = {Code::Overloaded, "529"}, .usage = {.input_tokens = 4}});
  store.run();
  const auto jobs = bus.take<bus::Job>("o");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].model, "openai-default");
  EXPECT_EQ(used["claude/m"].input_tokens, 4u) << "booked for the one that was asked";
  d->on_message("o", bus::JobFailed{.job = {"job1", 2}, .error = {Code::Network, ""}});
  store.run();
  EXPECT_NE(answers[1].find("OpenAI"), std::string::npos) << "both were tried: now it is told";
}

TEST_F(DispatcherTest, WaitsOutABrokenStore) {
  join("p", "w");
  store.broken = true;
  ask(1, 100);
  pass(Millis{1'000}, {"p"});
  EXPECT_TRUE(bus.take<bus::Job>("p").empty());
  store.broken = false;
  pass(Millis{2'000}, {"p"});
  ASSERT_EQ(bus.take<bus::Job>("p").size(), 1u);
  store.broken = true;
  answer("p", {"job1", 1}, "kept");
  EXPECT_TRUE(bus.take<bus::Committed>("p").empty()) << "nothing is promised that isn't stored";
  store.broken = false;
  pass(Millis{500}, {"p"});
  EXPECT_EQ(answers[1], "kept");
  EXPECT_EQ(bus.take<bus::Committed>("p").size(), 1u);
}

TEST_F(DispatcherTest, ALeaseThatWasNotCommittedIsTakenBack) {
  join("p", "w");
  store.commits_fail = true;
  ask(1, 100);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u) << "dispatched early";
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
  EXPECT_EQ(d->waiting(), 1u);
  store.commits_fail = false;
  pass(Millis{1'500}, {"p"});
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
}

TEST_F(DispatcherTest, AfterALeaseIsTakenBackTheTextBeginsAgain) {
  join("p", "w");
  store.commits_fail = true;
  d->add(Question{.turn_id = 1, .chat = {100, 0}, .job = {"job1", 1}, .provider = "claude", .model = "m"});
  store.step();  // applied
  d->on_message("p", bus::Chunk{.job = {"job1", 1}, .seq = 0, .text = "Hel"});
  EXPECT_EQ(text[1], "Hel");
  store.run();
  store.commits_fail = false;
  pass(Millis{1'500}, {"p"});
  d->on_message("p", bus::Chunk{.job = {"job1", 1}, .seq = 0, .text = "Hello"});
  EXPECT_EQ(text[1], "Hello");
}

TEST_F(DispatcherTest, AFailureOfTheWorkerThatLostTheLeaseEndsNothing) {
  join("p1", "w1", 1);
  store.commits_fail = true;
  ask(1, 100);
  store.commits_fail = false;
  d->on_message("p1", bus::Credit{0});
  join("p2", "w2", 1);
  pass(Millis{1'500}, {"p1", "p2"});
  ASSERT_EQ(bus.take<bus::Job>("p2").size(), 1u);
  d->on_message("p1", bus::JobFailed{.job = {"job1", 1}, .error = {Code::Cancelled, ""}});
  store.run();
  EXPECT_FALSE(answers.contains(1));
  EXPECT_EQ(bus.take<bus::Committed>("p1").size(), 1u) << "so that it can forget it";
  answer("p2", {"job1", 1}, "answer");
  EXPECT_EQ(answers[1], "answer");
}

TEST_F(DispatcherTest, AnAnswerIsNotStoppedByALeaseThatWasTakenBack) {
  join("p", "w");
  ask(1, 100);
  EXPECT_EQ(bus.take<bus::Job>("p").size(), 1u);
  d->on_message("p", bus::JobFailed{.job = {"job1", 1}, .error = {Code::Cancelled, "stopped"}});
  store.run();
  EXPECT_TRUE(answers.empty()) << "nobody asked for a stop";
  const auto again = bus.take<bus::Job>("p");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].job, (bus::JobRef{"job1", 2}));
  answer("p", {"job1", 2}, "whole");
  EXPECT_EQ(answers[1], "whole");
}

TEST_F(DispatcherTest, AStopReachesAnAnswerWhoseGroupMoved) {
  join("p", "w");
  ask(1, -5);
  d->move_chat(-5, -100);
  EXPECT_FALSE(d->cancel({-5, 0}));
  EXPECT_TRUE(d->cancel({-100, 0}));
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
}

TEST_F(DispatcherTest, ADroppedQuestionIsAsIfNeverAsked) {
  join("p", "w");
  ask(1, 100);
  ask(2, 100);
  d->drop(1);
  store.run();
  EXPECT_EQ(bus.take<bus::Cancel>("p").size(), 1u);
  d->drop(2);
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, ACongestedWorkerRestsUntilTheNextBeat) {
  join("p1", "w1");
  bus.full.insert("p1");
  ask(1, 100);
  EXPECT_EQ(d->waiting(), 1u);
  bus.full.clear();
  pass(Millis{500}, {"p1"});
  EXPECT_EQ(bus.take<bus::Job>("p1").size(), 1u);
}

TEST_F(DispatcherTest, AJobThatFitsNoFrameIsToldAndNotTriedForEver) {
  join("p", "w");
  bus.broken = true;
  d->add(Question{.turn_id = 1, .chat = {100, 0}, .job = {"job1", 1}, .provider = "claude", .model = "m"});
  for (int i = 0; i < 100; ++i)
    store.step();
  EXPECT_EQ(failures, std::vector<Code>{Code::Rejected});
  EXPECT_TRUE(answers.contains(1));
  pass(Millis{500}, {"p"});
  EXPECT_TRUE(d->idle());
}

TEST_F(DispatcherTest, ADrainDoesNotWaitForWhatNobodyHasReported) {
  ask(1, 100, "claude", true);
  join("p", "w");
  ask(2, 200);
  EXPECT_EQ(d->in_hand(), 1u);
  answer("p", {"job2", 1}, "a");
  EXPECT_EQ(d->in_hand(), 0u);
  EXPECT_EQ(d->in_flight(), 1u);
}

TEST_F(DispatcherTest, DrainingLetsAnswersFinishAndKeepsTheRestWaiting) {
  join("p", "w", 1);
  ask(1, 100);
  ask(2, 200);
  d->drain();
  answer("p", {"job1", 1}, "a");
  EXPECT_EQ(answers[1], "a");
  EXPECT_EQ(d->waiting(), 1u);
  EXPECT_EQ(d->in_flight(), 0u);
}

}  // namespace
}  // namespace katana::gateway
