#include "gateway/inbound/inbox.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/dispatch/fake_store.hpp"

namespace katana::gateway {
namespace {

/// A store that takes batches, or doesn't; each is at its end at once.
struct BatchStore : FakeStore {
  bool disk_full = false;
  std::int64_t next_id = 1;
  std::vector<Member> members_put;
  std::vector<std::int64_t> followed;  ///< by each batch
  std::vector<OpenTurn> released;      ///< what the next release finds

  void accept(std::vector<Intake> batch, Done<std::vector<Accepted>> done) override {
    followed.push_back(batch.front().follows);
    std::vector<Accepted> accepted(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      accepted[i].reply_ids.resize(batch[i].replies.size());
      for (auto& id : accepted[i].reply_ids)
        id = next_id++;
      if (batch[i].prompt) accepted[i].turn = OpenedTurn{.turn_id = next_id++};
      if (batch[i].held_note) accepted[i].held_note_id = next_id++;
      if (batch[i].release_held) accepted[i].released = released;
    }
    Result<std::vector<Accepted>> outcome = accepted;
    done.applied(outcome);
    done.durable(disk_full ? Result<std::vector<Accepted>>(fail(Code::Internal, "disk full")) : accepted);
  }
  void put_member(Member member, Done<Nothing>) override { members_put.push_back(std::move(member)); }
};

struct InboxTest : testing::Test {
  ManualClock clock;
  BatchStore store;
  Offer offer{.bot_user_id = 42, .claude = true, .default_provider = "claude", .max_age = Seconds{3600}};
  Access access{config::Access::Pairing, {5}, {}};
  Chat chat{offer, access};
  std::vector<std::string> told;
  std::vector<std::string> replies;
  std::vector<std::string> ignored;
  std::string press = "not answered";
  std::size_t room = 1000;
  bool confirmed = false;
  Inbox inbox{
      chat, store, clock, config::LogMessages::None,
      InboxEvents{.on_applied = [this](const Opened&) { told.emplace_back("applied"); },
                  .on_durable = [this](const Opened&) { told.emplace_back("durable"); },
                  .on_lost = [this](const Opened&) { told.emplace_back("lost"); },
                  .on_reply = [this](ChatKey, std::int64_t, Reply reply) { replies.push_back(reply.text); },
                  .on_press = [this](const std::string&, const std::string& text) { press = text; },
                  .on_again = [](std::int64_t) {},
                  .on_stop = [](ChatKey) {},
                  .on_chat_gone = [](std::int64_t) {},
                  .on_ignored = [this](const std::string& why) { ignored.push_back(why); },
                  .on_duplicate = [] {},
                  .on_released = [this](const OpenTurn&) { told.emplace_back("released"); },
                  .room = [this] { return room; }}};

  void message(std::int64_t user) {
    std::vector<Update> batch;
    batch.push_back({.update_id = 1,
                     .body = IncomingMessage{
                         .chat = {user, 0}, .message_id = 9, .from = {.id = user}, .text = "Hello?"}});
    inbox.accept(std::move(batch), [this](Result<void> done) { confirmed = done.has_value(); });
  }
};

TEST_F(InboxTest, AQuestionIsDispatchedEarlyAndShownOnceDurable) {
  message(5);
  EXPECT_EQ(told, (std::vector<std::string>{"applied", "durable"}));
  EXPECT_TRUE(confirmed);
}

TEST_F(InboxTest, APollThatGoesInSlicesStaysInOrder) {
  std::vector<Update> poll;
  for (std::int64_t id = 101; id <= 140; ++id)
    poll.push_back({.update_id = id, .body = UnknownUpdate{}});
  inbox.accept(std::move(poll), [this](Result<void> done) { confirmed = done.has_value(); });
  EXPECT_TRUE(confirmed);
  EXPECT_EQ(store.followed, (std::vector<std::int64_t>{0, 116, 132}));
}

TEST_F(InboxTest, ALostCommitTakesTheQuestionBackAndTheNextOneWaits) {
  store.disk_full = true;
  message(5);
  EXPECT_EQ(told, (std::vector<std::string>{"applied", "lost"}));
  EXPECT_FALSE(confirmed);
  told.clear();
  message(5);
  EXPECT_TRUE(told.empty()) << "while commits fail nothing is dispatched early";
  store.disk_full = false;
  message(5);
  EXPECT_EQ(told, (std::vector<std::string>{"applied", "durable"}));
}

TEST_F(InboxTest, WhatFindsNoRoomIsToldSo) {
  room = 2;
  const auto poll = [&] {
    std::vector<Update> batch(40);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].update_id = static_cast<std::int64_t>(i) + 1;
      batch[i].body = IncomingMessage{.chat = {5, 0}, .message_id = 9, .from = {.id = 5}, .text = "?"};
    }
    inbox.accept(std::move(batch), [](const Result<void>&) {});
  };
  store.disk_full = true;
  poll();
  told.clear();
  replies.clear();
  store.disk_full = false;
  poll();
  // Slices are decided one after the other, each with the room that `room` tells then: it doesn't know what
  // an early slice dispatched here.
  EXPECT_EQ(std::count(told.begin(), told.end(), "applied"), 3 * 2);
  EXPECT_EQ(replies.size(), 34U);
  EXPECT_EQ(ignored.back(), "queue_full");
  room = 0;
  message(5);
  EXPECT_EQ(replies.size(), 35U);
}

TEST_F(InboxTest, ALateQuestionIsHeldAndReleasedByTheButton) {
  std::vector<Update> poll(1);
  poll[0].update_id = 1;
  poll[0].body = IncomingMessage{
      .chat = {5, 0}, .message_id = 9, .from = {.id = 5}, .age = Seconds{3601}, .text = "Still there?"};
  room = 0;  // it needs none
  inbox.accept(std::move(poll), [](const Result<void>&) {});
  EXPECT_TRUE(told.empty());
  ASSERT_EQ(replies.size(), 1U);
  room = 10;
  const auto press_it = [&] {
    std::vector<Update> press_poll(1);
    press_poll[0].update_id = 2;
    press_poll[0].body = ButtonPress{.id = "p", .from = {.id = 5}, .chat = {5, 0}, .data = "answer-now"};
    inbox.accept(std::move(press_poll), [](const Result<void>&) {});
  };
  store.released = {OpenTurn{.turn_id = 1}, OpenTurn{.turn_id = 2}};
  room = 0;
  press_it();
  EXPECT_TRUE(told.empty());
  EXPECT_NE(press.find("press again"), std::string::npos);
  room = 10;
  press_it();
  EXPECT_EQ(told, (std::vector<std::string>{"released", "released"}));
  EXPECT_EQ(press, "");
  store.released.clear();
  press_it();
  EXPECT_EQ(told.size(), 2U);
  EXPECT_NE(press, "") << "nothing waits: the presser is told";
}

TEST_F(InboxTest, AStrangersCodeIsNotLostWithItsCommit) {
  clock.advance(Millis{1'000});
  store.disk_full = true;
  message(77);
  EXPECT_TRUE(replies.empty());
  store.disk_full = false;
  message(77);  // as Telegram gives it again
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_NE(replies[0].find(store.members_put.back().pairing_code), std::string::npos);
  message(77);
  EXPECT_EQ(replies.size(), 1u) << "one reply an hour";
}

}  // namespace
}  // namespace katana::gateway
