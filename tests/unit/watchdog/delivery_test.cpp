#include "watchdog/channels/delivery.hpp"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "common/core/id.hpp"
#include "watchdog/channels/command.hpp"

namespace katana::watchdog {
namespace {

namespace fs = std::filesystem;

/// A channel whose other side is the test.
class FakeChannel final : public Channel {
 public:
  struct Call {
    Notice notice;
    std::string thread;
    std::function<void(Result<Receipt>)> then;
  };
  FakeChannel(std::vector<Call>& calls, const Result<void>& word, const bool& proves)
      : calls_(calls), word_(word), proves_(proves) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Pace pace() const override { return {1'000, Millis{1}}; }
  void probe(std::function<void(Result<void>)> then) override { then(word_); }
  [[nodiscard]] bool probe_proves() const override { return proves_; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override {
    calls_.push_back({notice, thread, std::move(then)});
  }

 private:
  const std::string name_ = "fake";
  std::vector<Call>& calls_;
  const Result<void>& word_;
  const bool& proves_;
};

class DeliveryTest : public testing::Test {
 protected:
  DeliveryTest() : directory(fs::temp_directory_path() / ("katana-spool-" + fresh_id())) { open(); }
  ~DeliveryTest() override {
    delivery.reset();
    disk.reset();
    fs::remove_all(directory);
  }
  /// As a new process would; `failing_before`: its predecessor had told that the channel fails.
  void open(bool failing_before = false) {
    delivery.reset();
    disk = std::make_unique<Disk>(loop);
    delivery = std::make_unique<Delivery>(
        loop, clock, *disk, std::make_unique<FakeChannel>(calls, word, proves), directory.string(),
        Delivery::Events{[this](const Error&) { ++failing; }, [this] { ++working; }});
    ASSERT_TRUE(delivery->load());
    if (failing_before) delivery->resume_failing();
    delivery->start();
  }
  Notice notice(const std::string& id, const std::string& incident = "i1") {
    Notice n;
    n.id = id;
    n.incident = incident;
    n.at = clock.wall();
    return n;
  }
  void until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done() && std::chrono::steady_clock::now() < end)
      loop.run_once(Millis{20});
    ASSERT_TRUE(done());
  }
  std::size_t files() const {
    std::size_t n = 0;
    for (const auto& entry : fs::directory_iterator(directory))
      n += entry.path().extension() == ".json";
    return n;
  }
  void answer(Result<Receipt> result) {
    auto then = std::exchange(calls.back().then, {});
    then(std::move(result));
  }

  fs::path directory;
  loop::Loop loop;
  SystemClock clock;
  std::vector<FakeChannel::Call> calls;
  Result<void> word{};  ///< the channel's, when it is asked whether it would take a notice
  bool proves = true;   ///< and whether that proves anything
  int failing = 0;
  int working = 0;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<Delivery> delivery;
};

TEST_F(DeliveryTest, IsOnDiskBeforeItIsSentAndGoneAfterItWasTaken) {
  delivery->accept(notice("n1"));
  EXPECT_TRUE(calls.empty());
  until([&] { return calls.size() == 1; });
  EXPECT_EQ(files(), 1u);
  answer(Receipt{"250 ok", "7"});
  until([&] { return files() == 0; });
  EXPECT_TRUE(delivery->idle());
  EXPECT_EQ(delivery->status().sent, 1u);
}

TEST_F(DeliveryTest, KeepsOrderAndSendsOneAtATime) {
  for (const char* id : {"n1", "n2", "n3"})
    delivery->accept(notice(id));
  for (std::size_t i = 1; i <= 3; ++i) {
    until([&] { return calls.size() == i; });
    loop.run_once(Millis{1});
    EXPECT_EQ(calls.size(), i);
    EXPECT_EQ(calls.back().notice.id, "n" + std::to_string(i));
    answer(Receipt{});
  }
}

TEST_F(DeliveryTest, AnIncidentsLaterNoticesGetItsThreadAlsoAfterARestart) {
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  EXPECT_EQ(calls[0].thread, "");
  answer(Receipt{"", "message-7"});
  open();
  delivery->accept(notice("n2"));
  until([&] { return calls.size() == 2; });
  EXPECT_EQ(calls[1].thread, "message-7");
  answer(Receipt{"", "message-8"});
  delivery->accept(notice("n3", "i2"));
  until([&] { return calls.size() == 3; });
  EXPECT_EQ(calls[2].thread, "");
}

TEST_F(DeliveryTest, WhatWasNotTakenIsSentByTheNextProcessInOrder) {
  delivery->accept(notice("n1"));
  delivery->accept(notice("n2"));
  until([&] { return calls.size() == 1 && files() == 2; });
  calls.clear();
  open();
  until([&] { return calls.size() == 1; });
  EXPECT_EQ(calls[0].notice.id, "n1");
  answer(Receipt{});
  until([&] { return calls.size() == 2; });
  EXPECT_EQ(calls[1].notice.id, "n2");
  delivery->accept(notice("n3"));
  answer(Receipt{});
  until([&] { return calls.size() == 3; });
  EXPECT_EQ(calls[2].notice.id, "n3");
}

TEST_F(DeliveryTest, AFailureIsRepeatedAndToldOnceAndItsEndToo) {
  delivery->accept(notice("n1"));
  for (std::size_t i = 1; i <= 3; ++i) {
    until([&] { return calls.size() == i; });
    answer(fail(Error{Code::Overloaded, "451 later", Millis{1}}));
  }
  EXPECT_EQ(failing, 1);
  EXPECT_EQ(working, 0);
  until([&] { return calls.size() == 4; });
  EXPECT_EQ(calls[3].notice.id, "n1");
  answer(Receipt{});
  EXPECT_EQ(working, 1);
}

TEST_F(DeliveryTest, ARefusedTokenIsToldAtOnceAndAFloodWaitIsNot) {
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  answer(fail(Error{Code::RateLimited, "429", Millis{1}}));
  EXPECT_EQ(failing, 0);
  until([&] { return calls.size() == 2; });
  answer(fail(Error{Code::Auth, "401", Millis{1}}));
  EXPECT_EQ(failing, 1);
}

TEST_F(DeliveryTest, ANoticeThatIsRefusedAgainAndAgainLetsTheOthersPass) {
  const auto refuse = [&] { answer(fail(Error{Code::Rejected, "554 no such words here", Millis{1}})); };
  delivery->accept(notice("bad"));
  delivery->accept(notice("n2"));
  for (std::size_t i = 1; i <= Delivery::kRefusals; ++i) {
    until([&] { return calls.size() == i; });
    EXPECT_EQ(calls.back().notice.id, "bad");
    refuse();
  }
  until([&] { return calls.size() == 6; });
  EXPECT_EQ(calls.back().notice.id, "n2");
  EXPECT_EQ(failing, 1);
  answer(Receipt{});
  EXPECT_EQ(working, 1);
  until([&] { return calls.size() == 7; });
  EXPECT_EQ(calls.back().notice.id, "bad");
  delivery->accept(notice("n3"));
  answer(fail(Error{Code::Rejected, "554", Millis{3'600'000}}));
  EXPECT_EQ(failing, 1) << "it was told, and the channel works";
  until([&] { return calls.size() == 8; });
  EXPECT_EQ(calls.back().notice.id, "n3");
  answer(Receipt{});
  until([&] { return calls.size() == 9; });
  EXPECT_EQ(calls.back().notice.id, "bad");
  answer(fail(Error{Code::Rejected, "554", Millis{3'600'000}}));
  delivery->accept(notice("n4"));
  until([&] { return calls.size() == 10; });
  EXPECT_EQ(calls.back().notice.id, "n4") << "it doesn't wait for the other's turn";
  EXPECT_EQ(failing, 1);
}

TEST_F(DeliveryTest, AChannelWithFreshSecretsTakesOverAtOnceButNotInMidSend) {
  std::vector<FakeChannel::Call> fresh;
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  delivery->replace(std::make_unique<FakeChannel>(fresh, word, proves));
  loop.run_once(Millis{1});
  EXPECT_TRUE(fresh.empty());
  answer(fail(Error{Code::Auth, "401", Millis{3'600'000}}));
  until([&] { return fresh.size() == 1; });
  EXPECT_EQ(fresh[0].notice.id, "n1");
}

TEST_F(DeliveryTest, FreshSecretsEndNoFloodWait) {
  std::vector<FakeChannel::Call> fresh;
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  answer(fail(Error{Code::RateLimited, "429", Millis{3'600'000}}));
  delivery->replace(std::make_unique<FakeChannel>(fresh, word, proves));
  delivery->accept(notice("n2"));
  until([&] { return files() == 2; });
  for (int i = 0; i < 5; ++i)
    loop.run_once(Millis{1});
  EXPECT_TRUE(fresh.empty());
}

TEST_F(DeliveryTest, AFileThatIsNoNoticeIsSetAside) {
  std::ofstream(directory / "000000000001.json") << "{\"id\":";
  std::ofstream(directory / "zzz.json") << to_json(notice("n9"));
  std::ofstream(directory / "000000000003.json") << to_json(notice("n3"));
  open();
  until([&] { return calls.size() == 1; });
  EXPECT_EQ(calls[0].notice.id, "n3");
  EXPECT_TRUE(fs::exists(directory / "000000000001.json.bad"));
  EXPECT_TRUE(fs::exists(directory / "zzz.json.bad"));
}

TEST_F(DeliveryTest, AUnwritableSpoolKeepsNobodyFromBeingTold) {
  fs::remove_all(directory);
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  answer(Receipt{});
  fs::create_directories(directory);
}

TEST_F(DeliveryTest, ANoticeOfYesterdayIsGivenUp) {
  Notice old = notice("n1");
  old.at -= Delivery::kTooOld + Seconds{1};
  std::ofstream(directory / "000000000001.json") << to_json(old);
  open();
  delivery->accept(notice("n2"));
  until([&] { return calls.size() == 1; });
  EXPECT_EQ(calls[0].notice.id, "n2");
  EXPECT_EQ(delivery->status().dropped, 1u);
}

TEST_F(DeliveryTest, AWallClockThatIsSetMakesNoNoticeOld) {
  Notice before = notice("n1");
  before.at -= Delivery::kTooOld * 3;  // the clock was wrong, and has been set since
  delivery->accept(before);
  until([&] { return calls.size() == 1; });
}

TEST_F(DeliveryTest, ATestGoesBeforeWhatWaitsForItsNextTry) {
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  answer(fail(Code::Network, "no route"));
  Notice test = notice("test");
  test.kind = NoticeKind::Test;
  std::string said;
  delivery->accept(test, [&](const Result<Receipt>& r) { said = r ? "taken" : r.error().detail; });
  until([&] { return calls.size() == 2; });
  EXPECT_EQ(calls[1].notice.id, "test");
  answer(fail(Code::Network, "still none"));
  EXPECT_EQ(said, "still none");
}

TEST_F(DeliveryTest, WhatAnEarlierProcessToldIsOverWhenTheOtherSideSaysSo) {
  word = fail(Code::Auth, "535");
  open(true);
  EXPECT_EQ(failing + working, 0) << "that is known";
  EXPECT_NE(delivery->status().last_error.find("535"), std::string::npos);
  word = {};
  open(true);
  EXPECT_EQ(working, 1);
}

TEST_F(DeliveryTest, AWordThatProvesNothingEndsNoFailureOfSending) {
  proves = false;  // as Telegram's getMe of a bot that was thrown out of the chat
  open(true);
  EXPECT_EQ(working, 0);
  delivery->accept(notice("n1"));
  until([&] { return calls.size() == 1; });
  answer(Receipt{});
  EXPECT_EQ(working, 1);
}

TEST_F(DeliveryTest, FreshSecretsEndAtOnceWhatTheOldOnesMet) {
  word = fail(Code::Auth, "535");
  open(true);
  const Result<void> well{};
  delivery->replace(std::make_unique<FakeChannel>(calls, well, proves));
  EXPECT_EQ(working, 1) << "nothing waits, and it is known all the same";
}

TEST_F(DeliveryTest, ACheckIsOfTheSpoolAndOfTheOtherSide) {
  std::vector<std::string> said;
  const auto check = [&] {
    const auto before = said.size();
    delivery->check(notice("c"), [&](const Result<void>& r) { said.push_back(r ? "" : r.error().detail); });
    until([&] { return said.size() > before; });
    return said.back();
  };
  EXPECT_EQ(check(), "");
  EXPECT_FALSE(fs::exists(directory / "check"));
  word = fail(Code::Auth, "535 no");
  EXPECT_EQ(check(), "535 no");
  fs::remove_all(directory);
  EXPECT_NE(check().find("storing a notice"), std::string::npos);
  fs::create_directories(directory);
}

TEST(CommandChannel, GetsTheNoticeOnItsInputAndTellsItsEnd) {
  loop::Loop loop;
  const auto out = fs::temp_directory_path() / ("katana-command-" + fresh_id());
  Notice n;
  n.id = "n1";
  n.title = "claude-1 is down";
  std::optional<Result<Receipt>> got;
  const auto send = [&](const std::string& command) {
    CommandChannel channel(loop, command);
    got.reset();
    channel.send(n, "", [&](Result<Receipt> r) { got = std::move(r); });
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!got && std::chrono::steady_clock::now() < end)
      loop.run_once(Millis{20});
    ASSERT_TRUE(got);
  };
  send("/usr/bin/tee " + out.string());
  EXPECT_TRUE(*got);
  std::ifstream file(out);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  ASSERT_TRUE(parse_notice(text));
  EXPECT_EQ(parse_notice(text)->title, "claude-1 is down");
  send("/bin/false");
  ASSERT_FALSE(*got);
  EXPECT_EQ(got->error().detail, "the alert command ended with exit status 1");
  send("/nowhere/at/all");
  EXPECT_FALSE(*got);
  fs::remove(out);
}

}  // namespace
}  // namespace katana::watchdog
