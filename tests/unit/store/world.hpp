#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "gateway/store/store.hpp"
#include "tests/unit/db/place.hpp"

namespace katana::gateway {

using db::Folder;
using db::run_until;

/// Calls one operation of a store and waits until it is durable. Checks that `applied` came before, once.
template <class T>
Result<T> await(loop::Loop& loop, const std::function<void(Done<T>)>& call) {
  int applied = 0;
  std::optional<Result<T>> outcome;
  call({[&](const Result<T>&) {
          EXPECT_FALSE(outcome.has_value()) << "applied came after durable";
          ++applied;
        },
        [&](Result<T> durable) { outcome = std::move(durable); }});
  run_until(loop, [&] { return outcome.has_value(); });
  EXPECT_EQ(applied, 1);
  return std::move(*outcome);
}

/// A store with short words for what tests do with it.
class World {
 public:
  static constexpr std::int64_t kBot = 4242;
  using Factory =
      std::function<Result<std::unique_ptr<Store>>(loop::Loop&, const Clock&, std::int64_t bot_id)>;

  explicit World(Factory open) : open_(std::move(open)) { reopen(); }

  void reopen(std::int64_t bot_id = kBot) {
    store_.reset();
    auto opened = open_(loop, clock, bot_id);
    ASSERT_TRUE(opened) << opened.error().detail;
    store_ = std::move(*opened);
  }
  void close() { store_.reset(); }
  Store& store() { return *store_; }

  Result<std::vector<Accepted>> accept(std::vector<Intake> batch) {
    return await<std::vector<Accepted>>(
        loop, [&](auto done) { store().accept(std::move(batch), std::move(done)); });
  }
  Accepted accept_one(Intake intake) {
    auto accepted = accept({std::move(intake)});
    EXPECT_TRUE(accepted && accepted->size() == 1);
    return accepted ? accepted->front() : Accepted{};
  }
  Intake question(ChatKey chat, std::string text, std::int64_t user_id = 7) {
    Intake intake;
    intake.update_id = ++last_update;
    intake.seen_at = clock.wall();
    intake.chat = chat;
    intake.prompt = Prompt{user_id, 1000 + last_update, std::move(text), chat.chat_id < 0, clock.wall()};
    return intake;
  }
  OpenedTurn ask(ChatKey chat, std::string text, std::int64_t user_id = 7) {
    return accept_one(question(chat, std::move(text), user_id)).turn.value_or(OpenedTurn{});
  }
  void start_over(ChatKey chat) {
    Intake intake;
    intake.update_id = ++last_update;
    intake.seen_at = clock.wall();
    intake.chat = chat;
    intake.change = ChatChange{{}, {}, true};
    accept_one(std::move(intake));
  }
  Result<LeasedJob> lease(bus::JobRef job, std::string worker = "w1", int deaths = 0) {
    return await<LeasedJob>(loop, [&](auto done) {
      store().lease(job, worker, "claude", "claude-sonnet-5-5", deaths, std::move(done));
    });
  }
  Result<bus::JobRef> requeue(bus::JobRef job, int deaths) {
    const AttemptEnd end{.ending = "its worker died", .request_id = "req_0", .deaths = deaths};
    return await<bus::JobRef>(loop, [&](auto done) { store().requeue(job, end, std::move(done)); });
  }
  static Settlement answer(bus::JobRef job, std::string text) {
    return {.job = std::move(job),
            .provider = "claude",
            .model = "claude-sonnet-5-5",
            .text = std::move(text),
            .usage = {100, 20, 10, 5},
            .request_id = "req_1"};
  }
  /// A question that is put among the dead letters.
  OpenedTurn bury(ChatKey where, const std::string& asked, std::int64_t user_id = 7) {
    OpenedTurn turn = ask(where, asked, user_id);
    EXPECT_TRUE(lease({turn.job_id, 1}));
    EXPECT_TRUE(requeue({turn.job_id, 1}, 1));
    EXPECT_TRUE(lease({turn.job_id, 2}, "w2"));
    Settlement dead = answer({turn.job_id, 2}, "It broke.");
    dead.answered = false;
    dead.dead = true;
    dead.error_code = "Internal";
    EXPECT_EQ(settle(dead), Settled::Applied);
    EXPECT_TRUE(deliver(turn.turn_id));
    return turn;
  }
  std::vector<DeadLetter> dead_letters() {
    return await<std::vector<DeadLetter>>(loop, [&](auto done) { store().dead_letters(std::move(done)); })
        .value_or(std::vector<DeadLetter>{});
  }
  Result<OpenTurn> retry_dead_letter(std::int64_t turn_id) {
    return await<OpenTurn>(loop, [&](auto done) { store().retry_dead_letter(turn_id, std::move(done)); });
  }
  std::optional<Trace> trace(std::string id) {
    return await<std::optional<Trace>>(loop, [&](auto done) { store().trace(id, std::move(done)); })
        .value_or(std::nullopt);
  }
  Result<Settled> settle(Settlement settlement) {
    return await<Settled>(loop, [&](auto done) { store().settle(std::move(settlement), std::move(done)); });
  }
  Result<Nothing> deliver(std::int64_t turn_id, std::string abandoned = "") {
    return await<Nothing>(loop,
                          [&](auto done) { store().answer_delivered(turn_id, abandoned, std::move(done)); });
  }
  Result<Nothing> part_sent(std::int64_t outbox_id, std::int64_t message_id) {
    return await<Nothing>(loop,
                          [&](auto done) { store().part_sent(outbox_id, message_id, std::move(done)); });
  }
  Unfinished unfinished() {
    return await<Unfinished>(loop, [&](auto done) { store().unfinished(std::move(done)); })
        .value_or(Unfinished{});
  }
  ChatChoice choice(ChatKey chat) {
    return await<ChatChoice>(loop, [&](auto done) { store().choice(chat, std::move(done)); })
        .value_or(ChatChoice{});
  }
  UsageSum usage(Wall since, std::optional<std::int64_t> user_id = {}) {
    return await<UsageSum>(loop, [&](auto done) { store().usage(since, user_id, std::move(done)); })
        .value_or(UsageSum{});
  }
  std::uint64_t prune(Seconds retention) {
    return await<std::uint64_t>(loop,
                                [&](auto done) { store().prune(clock.wall(), retention, std::move(done)); })
        .value_or(0);
  }
  /// A question that is asked, leased, answered and shown.
  OpenedTurn exchange(ChatKey chat, const std::string& asked, const std::string& answered,
                      std::int64_t user_id = 7) {
    OpenedTurn turn = ask(chat, asked, user_id);
    EXPECT_TRUE(lease({turn.job_id, 1}));
    EXPECT_EQ(settle(answer({turn.job_id, 1}, answered)), Settled::Applied);
    EXPECT_TRUE(deliver(turn.turn_id));
    return turn;
  }
  /// What a model would be told with a new question, as "user: …" and "model: …".
  std::vector<std::string> told(ChatKey chat, const std::string& asked) {
    const OpenedTurn turn = ask(chat, asked);
    const auto leased = lease({turn.job_id, 1});
    EXPECT_TRUE(leased);
    std::vector<std::string> out;
    if (!leased) return out;
    for (const bus::Turn& t : leased->turns) {
      out.push_back((t.speaker == bus::Speaker::User ? "user: " : "model: ") + t.text);
    }
    Settlement failed = answer({turn.job_id, 1}, "It failed.");
    failed.answered = false;
    EXPECT_EQ(settle(failed), Settled::Applied);
    EXPECT_TRUE(deliver(turn.turn_id));
    return out;
  }

  loop::Loop loop;
  ManualClock clock;
  std::int64_t last_update = 0;

 private:
  Factory open_;
  std::unique_ptr<Store> store_;
};

}  // namespace katana::gateway
