#include "gateway/inbound/poller.hpp"

#include <gtest/gtest.h>

#include "tests/unit/fake_bot_api.hpp"

namespace katana::gateway {
namespace {

using telegram::ApiError;
using telegram::ApiResult;
using telegram::Refusal;

ApiResult<std::string> failure(Code code, Refusal refusal = Refusal::Other, bool webhook = false,
                               std::optional<Millis> retry_after = {}) {
  return tl::unexpected<ApiError>(ApiError{
      .error = {code, "as told by the test", retry_after}, .refusal = refusal, .webhook_active = webhook});
}

std::string updates(std::initializer_list<int> ids) {
  std::string list;
  for (const int id : ids)
    list += (list.empty() ? "" : ",") + ("{\"update_id\":" + std::to_string(id) + ",\"poll\":{}}");
  return R"({"ok":true,"result":[)" + list + "]}";
}

struct PollerTest : testing::Test {
  ManualClock clock;
  telegram::FakeBotApi api;
  std::vector<std::function<void(Result<void>)>> commits;
  std::vector<Update> accepted;
  std::optional<Error> store_trouble;
  std::vector<Code> failures;
  Poller poller{api,
                clock,
                {.accept =
                     [this](std::vector<Update> batch, auto then) {
                       accepted = std::move(batch);
                       commits.push_back(std::move(then));
                     },
                 .changed = [] {},
                 .store_trouble = [this] { return store_trouble; },
                 .failed = [this](const Error& error) { failures.push_back(error.code); }}};

  void pass(Millis time) {
    clock.advance(time);
    poller.wake();
  }
};

TEST_F(PollerTest, ConfirmsABatchOnlyWhenItIsDurable) {
  poller.start();
  EXPECT_EQ(api.polls.front().offset, 0);
  api.answer(updates({5, 6}));
  EXPECT_TRUE(api.polls.empty()) << "nothing may be confirmed before the commit";
  commits.at(0)({});
  ASSERT_EQ(api.polls.size(), 1u);
  EXPECT_EQ(api.polls.front().offset, 7);
  EXPECT_EQ(api.polls.front().timeout, Seconds{50});
}

TEST_F(PollerTest, NoUpdateIsTakenBeforeItIsKnownWhoWeAre) {
  std::string name;
  Poller shy(api, clock,
             {.accept = [](std::vector<Update>, auto) {},
              .changed = [] {},
              .introduced = [&](const telegram::BotUser& me) { name = me.username; }});
  const auto say = [&](ApiResult<telegram::BotUser> me) {
    auto then = std::move(api.introductions.front());
    api.introductions.pop_front();
    then(std::move(me));
  };
  const auto failed = [](Code code, std::optional<Millis> wait = {}) {
    return tl::unexpected<ApiError>(ApiError{.error = {code, "as told by the test", wait}});
  };
  shy.start();
  say(failed(Code::Network));
  EXPECT_FALSE(shy.trouble().empty());
  clock.advance(Millis{1'000});
  shy.wake();
  say(failed(Code::RateLimited, Millis{7'000}));
  clock.advance(Millis{6'000});
  shy.wake();
  EXPECT_TRUE(api.introductions.empty()) << "a 429 is waited for";
  clock.advance(Millis{1'000});
  shy.wake();
  say(failed(Code::Auth));
  EXPECT_NE(shy.trouble().find("401"), std::string::npos);
  EXPECT_TRUE(api.introductions.empty());
  shy.retry_now();
  EXPECT_TRUE(api.polls.empty());
  say(telegram::BotUser{.id = 7, .username = "katana_bot"});
  EXPECT_EQ(name, "katana_bot");
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, AMessagesAgeIsByTelegramsClock) {
  const auto message = [](std::int64_t date) {
    return R"({"ok":true,"result":[{"update_id":1,"message":{"message_id":1,"chat":{"id":5,"type":"private"},"date":)" +
           std::to_string(date) + R"(,"text":"?"}}]})";
  };
  const auto age = [&] { return std::get<IncomingMessage>(accepted.at(0).body).age; };
  poller.start();
  api.answer(message(1'790'000'000), from_unix(1'790'000'007));  // our own clock stands at another hour
  EXPECT_EQ(age(), Seconds{7});
  commits.back()({});
  api.answer(message(1'790'000'000), from_unix(1'789'999'999));
  EXPECT_EQ(age(), Seconds{0});
  commits.back()({});
  api.answer(message(to_unix(clock.wall()) - 9));  // it doesn't tell
  EXPECT_EQ(age(), Seconds{9});
}

TEST_F(PollerTest, FollowsIdsThatStartAgainLower) {
  poller.start();
  api.answer(updates({900}));
  commits.at(0)({});
  EXPECT_EQ(api.polls.front().offset, 901);
  api.answer(updates({3}));
  commits.at(1)({});
  EXPECT_EQ(api.polls.front().offset, 4);
}

TEST_F(PollerTest, AsksTheSameAgainWhenTheStoreRefuses) {
  poller.start();
  api.answer(updates({5}));
  commits.at(0)(fail(Code::Internal, "disk full"));
  EXPECT_NE(poller.trouble().find("disk full"), std::string::npos);
  EXPECT_FALSE(poller.active());
  pass(Millis{500});
  ASSERT_EQ(api.polls.size(), 1u);
  EXPECT_EQ(api.polls.front().offset, 0) << "not confirmed";
  api.answer(updates({5}));
  commits.at(1)({});
  EXPECT_TRUE(poller.active());
}

TEST_F(PollerTest, AsksForNothingWhileNothingCanBeStored) {
  poller.start();
  api.answer(updates({5}));
  store_trouble = Error{Code::Internal, "disk full"};
  commits.at(0)(fail(Code::Internal, "disk full"));
  const Mono since = *poller.trouble_since();
  for (int i = 0; i < 20; ++i)
    pass(Millis{2'000});
  EXPECT_TRUE(api.polls.empty());
  EXPECT_EQ(poller.trouble_since(), since);
  store_trouble.reset();
  pass(Millis{2'000});
  ASSERT_EQ(api.polls.size(), 1u);
  EXPECT_EQ(api.polls.front().offset, 0);
  api.answer(updates({5}));
  EXPECT_FALSE(poller.active()) << "that they came again isn't that they are stored";
  commits.at(1)({});
  EXPECT_TRUE(poller.active());
  EXPECT_EQ(api.polls.front().offset, 6);
}

TEST_F(PollerTest, BacksOffAndRecoversFromEveryPassingFailure) {
  poller.start();
  for (const Code code : {Code::Network, Code::Timeout, Code::Overloaded, Code::Malformed}) {
    api.answer(failure(code));
    EXPECT_TRUE(api.polls.empty());
    EXPECT_FALSE(poller.active());
    EXPECT_LE(*poller.due(), clock.mono() + Millis{30'000});
    pass(Millis{30'000});
    ASSERT_EQ(api.polls.size(), 1u) << to_string(code);
  }
  api.answer("<html>502</html>");
  EXPECT_FALSE(poller.active());
  pass(Millis{30'000});
  EXPECT_EQ(api.polls.front().timeout, Seconds{0}) << "recovery shows at once";
  api.answer(updates({}));
  EXPECT_TRUE(poller.active());
  EXPECT_FALSE(poller.trouble_since());
  EXPECT_EQ(failures.size(), 5u);
  EXPECT_EQ(failures.back(), Code::Malformed);
}

TEST_F(PollerTest, WaitsAsLongAsA429Asks) {
  poller.start();
  api.answer(failure(Code::RateLimited, Refusal::Other, false, Millis{37'000}));
  pass(Millis{36'999});
  EXPECT_TRUE(api.polls.empty());
  pass(Millis{1});
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, AsksARefusedTokenEveryFiveMinutesOrWhenTold) {
  poller.start();
  api.answer(failure(Code::Auth));
  EXPECT_NE(poller.trouble().find("KATANA_TELEGRAM_TOKEN"), std::string::npos);
  pass(Millis{299'999});
  EXPECT_TRUE(api.polls.empty());
  pass(Millis{1});
  ASSERT_EQ(api.polls.size(), 1u);
  api.answer(failure(Code::Auth));
  poller.retry_now();
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, ClearsAWebhookAndGoesOn) {
  poller.start();
  api.answer(failure(Code::Rejected, Refusal::Conflict, true));
  ASSERT_EQ(api.webhook_deletions.size(), 1u);
  api.webhook_deletions.front()(true);
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, AWebhookThatComesBackIsAnotherPrograms) {
  poller.start();
  const auto in_the_way = [&] { api.answer(failure(Code::Rejected, Refusal::Conflict, true)); };
  in_the_way();
  api.webhook_deletions.front()(true);
  in_the_way();
  EXPECT_EQ(api.webhook_deletions.size(), 1u) << "no race at the pace of the network";
  EXPECT_NE(poller.trouble().find("409"), std::string::npos);
  EXPECT_TRUE(api.polls.empty());
  pass(Millis{6'300});
  in_the_way();
  EXPECT_EQ(api.webhook_deletions.size(), 2u) << "it is tried again, less and less often";
  api.webhook_deletions.back()(tl::unexpected<ApiError>(
      ApiError{.error = {Code::RateLimited, "as told by the test", Millis{30'000}}}));
  pass(Millis{29'000});
  EXPECT_TRUE(api.polls.empty()) << "what a 429 asks for holds here as well";
  pass(Millis{1'000});
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, ABatchThatDoesNotComeInTimeIsAskedForInParts) {
  poller.start();
  EXPECT_EQ(api.polls.front().limit, 100);
  for (const int least : {25, 6, 1, 1}) {
    api.answer(failure(Code::Timeout));
    pass(Millis{30'000});
    EXPECT_EQ(api.polls.front().limit, least);
  }
  api.answer(updates({5}));
  commits.back()({});
  EXPECT_EQ(api.polls.front().limit, 1) << "it may not be all there is";
  api.answer(updates({}));
  EXPECT_EQ(api.polls.front().limit, 100);
}

TEST_F(PollerTest, BacksOffFromAnotherPollerAndSaysSo) {
  poller.start();
  api.answer(failure(Code::Rejected, Refusal::Conflict));
  EXPECT_NE(poller.trouble().find("409"), std::string::npos);
  pass(Millis{3'000});
  EXPECT_TRUE(api.polls.empty());
  pass(Millis{2'000});
  EXPECT_EQ(api.polls.size(), 1u);
}

TEST_F(PollerTest, StealsTheOtherPollersTurnEverMoreRarely) {
  poller.start();
  api.answer(updates({}));
  Millis waited{0};
  for (int i = 0; i < 6; ++i) {
    api.answer(failure(Code::Rejected, Refusal::Conflict));
    waited = std::chrono::duration_cast<Millis>(*poller.due() - clock.mono());
    pass(waited);
    api.answer(updates({}));  // the short poll that ended the other one's
  }
  EXPECT_GE(waited, Millis{30'000});
  api.answer(updates({}));  // a long one that stood
  api.answer(failure(Code::Rejected, Refusal::Conflict));
  EXPECT_LE(*poller.due() - clock.mono(), Millis{5'000});
}

TEST_F(PollerTest, IsSilentOnceStopped) {
  poller.start();
  poller.stop();
  api.answer(updates({1}));
  EXPECT_TRUE(commits.empty());
  EXPECT_TRUE(api.polls.empty());
  EXPECT_FALSE(poller.active());
}

}  // namespace
}  // namespace katana::gateway
