// What every driver of the store must do. To run another one through it, add it to the list at the end.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/store/sql.hpp"
#include "gateway/store/sql_store.hpp"
#include "tests/unit/store/world.hpp"

namespace katana::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Driver {
  std::string name;
  std::function<std::string(const Folder&)> url;
};

class StoreContract : public ::testing::TestWithParam<Driver> {
 protected:
  Folder folder;
  World world{[this](loop::Loop& loop, const Clock& clock, std::int64_t bot_id) {
    return open_store(loop, clock, GetParam().url(folder), bot_id);
  }};
  const ChatKey chat{7, 0};
};

TEST_P(StoreContract, AQuestionOpensATurnWithJobAndPlaceholder) {
  Intake intake = world.question(chat, "Why is the sky blue?");
  intake.replies = {Reply{12, "one", {{"bold", 0, 3, "", ""}}, {{{"Stop", "stop:1", ""}}}},
                    Reply{0, "two", {}, {}}};
  const Accepted accepted = world.accept_one(intake);
  EXPECT_FALSE(accepted.duplicate);
  ASSERT_TRUE(accepted.turn);
  EXPECT_FALSE(accepted.turn->job_id.empty());
  EXPECT_THAT(accepted.reply_ids, SizeIs(2));

  const Unfinished open = world.unfinished();
  ASSERT_THAT(open.turns, SizeIs(1));
  const OpenTurn& turn = open.turns[0];
  EXPECT_EQ(turn.turn_id, accepted.turn->turn_id);
  EXPECT_EQ(turn.chat, chat);
  EXPECT_EQ(turn.user_id, 7);
  EXPECT_EQ(turn.question_id, 1001);
  EXPECT_FALSE(turn.group);
  EXPECT_EQ(turn.asked_at, world.clock.wall());
  EXPECT_EQ(turn.job, (bus::JobRef{accepted.turn->job_id, 1}));
  EXPECT_FALSE(turn.leased);
  EXPECT_FALSE(turn.settled);
  ASSERT_THAT(turn.parts, SizeIs(1));
  EXPECT_EQ(turn.parts[0].outbox_id, accepted.turn->placeholder_id);
  EXPECT_EQ(turn.parts[0].message_id, 0);

  ASSERT_THAT(open.replies, SizeIs(2));
  EXPECT_EQ(open.replies[0].outbox_id, accepted.reply_ids[0]);
  EXPECT_EQ(open.replies[0].reply.reply_to, 12);
  EXPECT_EQ(open.replies[0].reply.text, "one");
  EXPECT_EQ(open.replies[0].reply.entities, intake.replies[0].entities);
  ASSERT_THAT(open.replies[0].reply.keyboard, SizeIs(1));
  EXPECT_EQ(open.replies[0].reply.keyboard[0][0].data, "stop:1");
  EXPECT_EQ(open.replies[1].reply.text, "two");
}

TEST_P(StoreContract, OutboxIdsOfPartsAndRepliesNeverMeet) {
  Intake intake = world.question(chat, "?");
  intake.replies = {Reply{0, "a", {}, {}}};
  const Accepted accepted = world.accept_one(intake);
  EXPECT_NE(accepted.turn->placeholder_id, accepted.reply_ids[0]);
}

TEST_P(StoreContract, AnUpdateSeenAgainIsADuplicateFor48Hours) {
  const Intake intake = world.question(chat, "once");
  EXPECT_FALSE(world.accept_one(intake).duplicate);
  Intake again = intake;
  world.clock.advance(std::chrono::hours{48} - Millis{1});
  again.seen_at = world.clock.wall();
  const Accepted second = world.accept_one(again);
  EXPECT_TRUE(second.duplicate);
  EXPECT_FALSE(second.turn);
  EXPECT_THAT(world.unfinished().turns, SizeIs(1));

  world.clock.advance(Millis{1});
  again.seen_at = world.clock.wall();
  EXPECT_FALSE(world.accept_one(again).duplicate) << "ids restart after a quiet week";
  EXPECT_THAT(world.unfinished().turns, SizeIs(2));
}

TEST_P(StoreContract, ADuplicateInTheSameBatchIsFoundAndALowerIdIsNone) {
  Intake high = world.question(chat, "high");
  high.update_id = 900;
  Intake low = world.question(chat, "low");
  low.update_id = 3;
  const auto accepted = world.accept({high, high, low});
  ASSERT_TRUE(accepted);
  EXPECT_FALSE((*accepted)[0].duplicate);
  EXPECT_TRUE((*accepted)[1].duplicate);
  EXPECT_FALSE((*accepted)[2].duplicate);
}

TEST_P(StoreContract, NoUpdateOvertakesOneThatWasNotStored) {
  const Intake first = world.question(chat, "first");
  Intake second = world.question(chat, "second");
  const Intake third = world.question(chat, "third");
  second.follows = first.update_id;
  const auto refused = world.accept({second, third});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, testing::HasSubstr(std::to_string(first.update_id)));
  EXPECT_THAT(world.unfinished().turns, IsEmpty());
  EXPECT_TRUE(world.accept({first}));
  EXPECT_TRUE(world.accept({second, third}));
  EXPECT_THAT(world.unfinished().turns, SizeIs(3));
}

TEST_P(StoreContract, UpdatesOfAnotherBotAreOthers) {
  const Intake intake = world.question(chat, "mine");
  world.accept_one(intake);
  world.reopen(World::kBot + 1);
  EXPECT_THAT(world.unfinished().turns, IsEmpty());
  EXPECT_FALSE(world.accept_one(intake).duplicate);
}

TEST_P(StoreContract, AChoiceStaysAndEachProviderKeepsItsModel) {
  EXPECT_EQ(world.choice(chat).provider, "");
  const auto change = [&](std::optional<std::string> provider, std::optional<std::string> model) {
    Intake intake;
    intake.update_id = ++world.last_update;
    intake.seen_at = world.clock.wall();
    intake.chat = chat;
    intake.change = ChatChange{std::move(provider), std::move(model), false};
    world.accept_one(intake);
    return world.choice(chat).provider + "/" + world.choice(chat).model;
  };
  EXPECT_EQ(change("openai", {}), "openai/");
  EXPECT_EQ(change({}, "gpt-5.5"), "openai/gpt-5.5");
  EXPECT_EQ(change("claude", {}), "claude/");
  EXPECT_EQ(change({}, "claude-haiku-5-5"), "claude/claude-haiku-5-5");
  EXPECT_EQ(change("openai", {}), "openai/gpt-5.5");
  EXPECT_EQ(change({}, ""), "openai/");
  EXPECT_EQ(world.choice({7, 99}).provider, "") << "another thread is another conversation";

  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_EQ(turn.choice.provider, "openai");
  change("claude", {});
  EXPECT_EQ(world.unfinished().turns.at(0).choice.provider, "openai") << "as it was when it was asked";
}

TEST_P(StoreContract, ALeaseTellsHistoryThenTheQuestion) {
  world.exchange(chat, "one?", "One.");
  world.exchange({8, 0}, "elsewhere?", "Elsewhere.");
  world.exchange({7, 5}, "in a thread?", "In a thread.");
  world.exchange(chat, "two?", "Two.");
  EXPECT_THAT(world.told(chat, "three?"),
              ElementsAre("user: one?", "model: One.", "user: two?", "model: Two.", "user: three?"));
  // `told` settles as a failure, which stays out.
  EXPECT_THAT(world.told(chat, "four?"),
              ElementsAre("user: one?", "model: One.", "user: two?", "model: Two.", "user: four?"));
}

TEST_P(StoreContract, StartingOverForgetsAndWhatWasUnderWayStaysOut) {
  world.exchange(chat, "old?", "Old.");
  const OpenedTurn under_way = world.ask(chat, "under way?");
  ASSERT_TRUE(world.lease({under_way.job_id, 1}));
  world.start_over(chat);
  EXPECT_EQ(world.settle(World::answer({under_way.job_id, 1}, "Late.")), Settled::Applied);
  EXPECT_THAT(world.told(chat, "new?"), ElementsAre("user: new?"));
  world.exchange(chat, "fresh?", "Fresh.");
  EXPECT_THAT(world.told(chat, "next?"), ElementsAre("user: fresh?", "model: Fresh.", "user: next?"));
}

TEST_P(StoreContract, StartingOverAndAskingInOneUpdate) {
  world.exchange(chat, "old?", "Old.");
  Intake intake = world.question(chat, "new?");
  intake.change = ChatChange{{}, {}, true};
  const auto turn = world.accept_one(intake).turn;
  ASSERT_TRUE(turn);
  EXPECT_THAT(world.lease({turn->job_id, 1})->turns, SizeIs(1));
  EXPECT_EQ(world.settle(World::answer({turn->job_id, 1}, "New.")), Settled::Applied);
  EXPECT_THAT(world.told(chat, "then?"), ElementsAre("user: new?", "model: New.", "user: then?"));
}

TEST_P(StoreContract, HistoryIsTheNewestTurnsOldestFirst) {
  for (int i = 1; i <= sql::kHistoryTurns + 3; ++i)
    world.exchange(chat, "q" + std::to_string(i), "a");
  const auto told = world.told(chat, "last");
  ASSERT_THAT(told, SizeIs(2 * sql::kHistoryTurns + 1));
  EXPECT_EQ(told.front(), "user: q4");
  EXPECT_EQ(told[told.size() - 3], "user: q" + std::to_string(sql::kHistoryTurns + 3));
}

TEST_P(StoreContract, HistoryIsBoundedByItsBytes) {
  const std::string half(sql::kHistoryBytes / 2 - 2, 'x');
  world.exchange(chat, "q1", half);
  world.exchange(chat, "q2", half);
  EXPECT_THAT(world.told(chat, "?"), SizeIs(5)) << "exactly full";
  world.exchange(chat, "q3", "b");
  const auto told = world.told(chat, "?");
  ASSERT_THAT(told, SizeIs(5));
  EXPECT_EQ(told[0], "user: q2");
}

TEST_P(StoreContract, HistoryIsTheSameFromMemoryAndFromTheDatabase) {
  for (int i = 1; i <= sql::kHistoryTurns + 2; ++i) {
    world.exchange(chat, "q" + std::to_string(i),
                   std::string(static_cast<std::size_t>(i % 7) * 400 + 1, 'a'));
  }
  const auto remembered = world.told(chat, "?");
  world.reopen();
  EXPECT_EQ(world.told(chat, "?"), remembered);
  EXPECT_EQ(world.told(chat, "?"), remembered);
}

TEST_P(StoreContract, AJobIsLeasedToOneWorker) {
  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_TRUE(world.lease({turn.job_id, 1}, "w1"));
  EXPECT_TRUE(world.lease({turn.job_id, 1}, "w1")) << "repeated by the same worker";
  EXPECT_EQ(world.lease({turn.job_id, 1}, "w2").error().code, Code::Rejected);
  EXPECT_EQ(world.lease({turn.job_id, 2}, "w1").error().code, Code::Rejected);
  EXPECT_EQ(world.lease({"17-nonsense", 1}).error().code, Code::Rejected);
  EXPECT_EQ(world.lease({"", 1}).error().code, Code::Rejected);
  const OpenTurn open = world.unfinished().turns.at(0);
  EXPECT_TRUE(open.leased);
  EXPECT_EQ(open.worker_id, "w1");
}

TEST_P(StoreContract, ARequeuedJobHasANewAttemptAndTheOldOneIsStale) {
  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_EQ(world.requeue({turn.job_id, 1}, 1).error().code, Code::Rejected) << "not leased yet";
  ASSERT_TRUE(world.lease({turn.job_id, 1}, "w1"));
  EXPECT_EQ(world.requeue({turn.job_id, 1}, 1), (bus::JobRef{turn.job_id, 2}));
  EXPECT_EQ(world.requeue({turn.job_id, 1}, 1).error().code, Code::Rejected) << "done once";
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "Too late.")), Settled::Stale);
  ASSERT_TRUE(world.lease({turn.job_id, 2}, "w2"));
  EXPECT_EQ(world.requeue({turn.job_id, 2}, 1), (bus::JobRef{turn.job_id, 3}));
  const OpenTurn open = world.unfinished().turns.at(0);
  EXPECT_EQ(open.deaths, 1);
  EXPECT_EQ(open.job.attempt, 3U);
  EXPECT_FALSE(open.leased);
  ASSERT_TRUE(world.lease({turn.job_id, 3}, "w3", 0));
  EXPECT_EQ(world.unfinished().turns.at(0).deaths, 0) << "who died under it came back";
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 3}, "From the queue.")), Settled::Applied);
}

TEST_P(StoreContract, ATurnIsSettledOnce) {
  const OpenedTurn turn = world.ask(chat, "?");
  ASSERT_TRUE(world.lease({turn.job_id, 1}));
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "First.")), Settled::Applied);
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "Second.")), Settled::Stale);
  EXPECT_EQ(world.lease({turn.job_id, 1}).error().code, Code::Rejected);
  EXPECT_EQ(world.requeue({turn.job_id, 1}, 1).error().code, Code::Rejected);
  const OpenTurn open = world.unfinished().turns.at(0);
  EXPECT_TRUE(open.settled);
  EXPECT_EQ(open.answer, "First.");
  EXPECT_TRUE(world.deliver(turn.turn_id));
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "Third.")), Settled::Stale);
  EXPECT_THAT(world.unfinished().turns, IsEmpty());
  EXPECT_EQ(world.settle(World::answer({"999-abcdefgh", 1}, "?")), Settled::Stale);
}

TEST_P(StoreContract, AnAnswerLongerThanAFrameIsRefused) {
  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, std::string(sql::kMaxAnswer + 1, 'x'))).error().code,
            Code::Rejected);
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, std::string(1 << 20, 'y'))), Settled::Applied);
  EXPECT_EQ(world.unfinished().turns.at(0).answer.size(), std::size_t{1} << 20);
}

TEST_P(StoreContract, PartsKeepTheirMessages) {
  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_TRUE(world.part_sent(turn.placeholder_id, 501));
  const auto add = [&](int part) {
    return await<AnswerPart>(world.loop,
                             [&](auto done) { world.store().add_part(turn.turn_id, part, done); });
  };
  const auto second = add(2);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->part, 2);
  EXPECT_EQ(second->message_id, 0);
  EXPECT_TRUE(world.part_sent(second->outbox_id, 502));
  EXPECT_EQ(add(2)->message_id, 502) << "asked for again, it is the same";
  EXPECT_EQ(add(4).error().code, Code::Rejected);
  EXPECT_EQ(add(0).error().code, Code::Rejected);
  EXPECT_TRUE(add(3));
  const OpenTurn open = world.unfinished().turns.at(0);
  ASSERT_THAT(open.parts, SizeIs(3));
  EXPECT_EQ(open.parts[0].message_id, 501);
  EXPECT_EQ(open.parts[1].message_id, 502);
  EXPECT_EQ(open.parts[1].outbox_id, second->outbox_id);
  EXPECT_EQ(open.parts[2].message_id, 0);
  EXPECT_EQ(world.part_sent(turn.placeholder_id + 9, 1).error().code, Code::Rejected);
  for (int part = 4; part <= sql::kMaxParts; ++part)
    ASSERT_TRUE(add(part));
  EXPECT_EQ(add(sql::kMaxParts + 1).error().code, Code::Rejected);
}

TEST_P(StoreContract, OnlyASettledAnswerIsDelivered) {
  const OpenedTurn turn = world.ask(chat, "?");
  EXPECT_EQ(world.deliver(turn.turn_id).error().code, Code::Rejected);
  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "!")), Settled::Applied);
  EXPECT_TRUE(world.deliver(turn.turn_id, "blocked by the user"));
  EXPECT_TRUE(world.deliver(turn.turn_id)) << "repeated";
  EXPECT_EQ(world.part_sent(turn.placeholder_id, 1).error().code, Code::Rejected);
}

TEST_P(StoreContract, UnfinishedIsOldestFirstAndSurvivesAReopening) {
  const OpenedTurn a = world.ask(chat, "a");
  const OpenedTurn b = world.ask({8, 0}, "b");
  const OpenedTurn c = world.ask({-100, 3}, "c");
  ASSERT_TRUE(world.lease({c.job_id, 1}, "w9"));
  ASSERT_TRUE(world.lease({a.job_id, 1}));
  EXPECT_EQ(world.settle(World::answer({a.job_id, 1}, "A")), Settled::Applied);
  world.reopen();
  const Unfinished open = world.unfinished();
  ASSERT_THAT(open.turns, SizeIs(3));
  EXPECT_EQ(open.turns[0].turn_id, a.turn_id);
  EXPECT_EQ(open.turns[0].answer, "A");
  EXPECT_EQ(open.turns[1].turn_id, b.turn_id);
  EXPECT_EQ(open.turns[2].turn_id, c.turn_id);
  EXPECT_EQ(open.turns[2].chat, (ChatKey{-100, 3}));
  EXPECT_TRUE(open.turns[2].group);
  EXPECT_EQ(open.turns[2].worker_id, "w9");
  EXPECT_GT(world.ask(chat, "d").turn_id, c.turn_id);
}

TEST_P(StoreContract, RepliesAreKeptUntilTheyAreDone) {
  Reply reply{3, "note", {}, {}};
  const auto id =
      await<std::int64_t>(world.loop, [&](auto done) { world.store().add_reply(chat, reply, done); });
  ASSERT_TRUE(id);
  EXPECT_FALSE(world.unfinished().replies.at(0).attempted);
  ASSERT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().reply_attempting(*id, done); }));
  world.reopen();
  EXPECT_TRUE(world.unfinished().replies.at(0).attempted);
  EXPECT_EQ(world.unfinished().replies.at(0).outbox_id, *id);
  ASSERT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().reply_done(*id, 55, "", done); }));
  EXPECT_THAT(world.unfinished().replies, IsEmpty());
}

TEST_P(StoreContract, AMovedGroupTakesEverythingAlong) {
  const ChatKey old_chat{-5, 0};
  world.exchange(old_chat, "before?", "Before.");
  const OpenedTurn open = world.ask(old_chat, "open?");
  ASSERT_TRUE(world.part_sent(open.placeholder_id, 55));
  await<std::int64_t>(world.loop, [&](auto done) {
    world.store().add_reply(old_chat, Reply{7, "n", {}, {}}, done);
  });
  const auto migrate = [&] {
    return await<Nothing>(world.loop, [&](auto done) { world.store().migrate_chat(-5, -1005, done); });
  };
  ASSERT_TRUE(migrate());
  ASSERT_TRUE(migrate()) << "told twice";
  EXPECT_EQ(world.unfinished().turns.at(0).chat, (ChatKey{-1005, 0}));
  EXPECT_EQ(world.unfinished().replies.at(0).chat, (ChatKey{-1005, 0}));
  EXPECT_EQ(world.unfinished().turns.at(0).parts.at(0).message_id, 0) << "its messages stay behind";
  EXPECT_EQ(world.unfinished().turns.at(0).question_id, 0);
  EXPECT_EQ(world.unfinished().replies.at(0).reply.reply_to, 0);
  ASSERT_TRUE(world.lease({open.job_id, 1}));
  EXPECT_EQ(world.settle(World::answer({open.job_id, 1}, "Open.")), Settled::Applied);
  EXPECT_THAT(world.told({-1005, 0}, "now?"),
              ElementsAre("user: before?", "model: Before.", "user: open?", "model: Open.", "user: now?"));
}

TEST_P(StoreContract, AMovedGroupIsFollowedByTheUpdateThatTellsOfIt) {
  world.exchange({-5, 0}, "before?", "Before.");
  world.exchange({-1005, 0}, "after?", "After.");
  Intake moved;
  moved.update_id = ++world.last_update;
  moved.chat = {-1005, 0};
  moved.moved_from = -5;
  world.accept_one(moved);
  EXPECT_THAT(world.told({-1005, 0}, "now?"),
              ElementsAre("user: before?", "model: Before.", "user: after?", "model: After.", "user: now?"));
  EXPECT_TRUE(world.accept_one(moved).duplicate);
}

TEST_P(StoreContract, AMovedGroupJoinsWhatItsNewIdAlreadyHas) {
  Intake chosen = world.question({-5, 0}, "before?");
  chosen.change = ChatChange{"openai", {}, false};
  const auto first = world.accept_one(chosen).turn;
  EXPECT_EQ(world.settle(World::answer({first->job_id, 1}, "Before.")), Settled::Applied);
  const OpenedTurn open = world.ask({-5, 0}, "under way?");
  world.exchange({-1005, 0}, "after?", "After.");
  ASSERT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().migrate_chat(-5, -1005, done); }));
  EXPECT_EQ(world.choice({-1005, 0}).provider, "openai");
  EXPECT_EQ(world.settle(World::answer({open.job_id, 1}, "Done.")), Settled::Applied);
  EXPECT_THAT(world.told({-1005, 0}, "now?"),
              ElementsAre("user: before?", "model: Before.", "user: after?", "model: After.",
                          "user: under way?", "model: Done.", "user: now?"));
  EXPECT_THAT(world.told({-5, 0}, "old id?"), ElementsAre("user: old id?"));
}

TEST_P(StoreContract, APauseIsKeptAndNeverGrows) {
  using std::chrono::hours;
  const auto pause = [&](std::int64_t to, Millis length) {
    ASSERT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().pause(to, length, done); }));
  };
  const auto left = [&] {
    std::map<std::int64_t, std::int64_t> out;
    for (const Pause& p : world.unfinished().pauses)
      out[p.chat_id] = p.left.count();
    return out;
  };
  using Left = std::map<std::int64_t, std::int64_t>;
  pause(7, Millis{90'000});
  pause(7, Millis{37'000});
  pause(-5, Millis{5'000});
  pause(0, Millis{60'000});
  world.reopen();
  EXPECT_EQ(left(), (Left{{-5, 5'000}, {0, 60'000}, {7, 37'000}})) << "the last word counts";
  world.clock.advance(Millis{6'000});
  world.reopen();
  EXPECT_EQ(left(), (Left{{0, 54'000}, {7, 31'000}})) << "what is over is gone";
  world.clock.jump_wall(-hours{1});
  EXPECT_EQ(left(), (Left{{0, 60'000}, {7, 37'000}})) << "a clock set back makes it no longer than it was";
  world.clock.jump_wall(hours{1});
  world.reopen(World::kBot + 1);
  EXPECT_EQ(left(), Left{}) << "another bot's";
  world.reopen();
  EXPECT_EQ(world.prune(hours{1}), 0U);
  world.clock.advance(Millis{31'000});
  EXPECT_EQ(world.prune(hours{1}), 1U);
  EXPECT_EQ(left(), (Left{{0, 23'000}}));
}

TEST_P(StoreContract, UsageIsSummedByHourUserAndModel) {
  const Wall start = world.clock.wall();
  world.exchange(chat, "q", "a", 7);
  world.clock.advance(std::chrono::hours{2});
  world.exchange(chat, "q", "a", 7);
  world.exchange({9, 0}, "q", "a", 9);
  const OpenedTurn lost = world.ask(chat, "q");
  ASSERT_TRUE(world.lease({lost.job_id, 1}));
  ASSERT_TRUE(world.requeue({lost.job_id, 1}, 1));

  const UsageSum all = world.usage(start);
  EXPECT_EQ(all.calls, 4U);
  EXPECT_EQ(all.tokens, (bus::Usage{300, 60, 30, 15}));
  ASSERT_THAT(all.lines, SizeIs(2));
  EXPECT_LT(all.lines[0].hour, all.lines[1].hour);
  EXPECT_EQ(all.lines[0].model, "claude-sonnet-5-5");
  EXPECT_EQ(all.lines[1].lost, 1U);
  EXPECT_EQ(world.usage(start, 9).calls, 1U);
  EXPECT_EQ(world.usage(world.clock.wall()).calls, 3U);
  EXPECT_EQ(world.usage(world.clock.wall() + std::chrono::hours{1}).calls, 0U);
}

TEST_P(StoreContract, WhatNeverRanIsNotBooked) {
  const OpenedTurn turn = world.ask(chat, "?");
  Settlement refused = World::answer({turn.job_id, 1}, "Your budget is used up.");
  refused.answered = false;
  refused.usage = {};
  EXPECT_EQ(world.settle(refused), Settled::Applied);
  EXPECT_EQ(world.usage(Wall{}).calls, 0U);
}

TEST_P(StoreContract, ALateQuestionWaitsForItsAskersWord) {
  const auto late = [&](const std::string& text) {
    Intake intake = world.question(chat, text);
    intake.prompt->held = true;
    intake.held_note = Reply{.text = "Do you still want an answer?"};
    return world.accept_one(intake);
  };
  EXPECT_NE(late("first").held_note_id, 0);
  EXPECT_EQ(late("second").held_note_id, 0) << "one note a conversation";
  EXPECT_THAT(world.unfinished().turns, IsEmpty());
  EXPECT_THAT(world.unfinished().replies, SizeIs(1));
  world.reopen();
  EXPECT_THAT(world.unfinished().turns, IsEmpty());

  Intake press;
  press.update_id = ++world.last_update;
  press.chat = chat;
  press.release_held = true;
  const auto released = world.accept_one(press).released;
  ASSERT_THAT(released, SizeIs(2));
  EXPECT_LT(released[0].turn_id, released[1].turn_id);
  EXPECT_EQ(released[0].chat, chat);
  ASSERT_THAT(released[0].parts, SizeIs(1));
  EXPECT_EQ(world.unfinished().turns.size(), 2U);
  EXPECT_EQ(world.lease(released[0].job)->turns.back().text, "first");
  press.update_id = ++world.last_update;
  EXPECT_THAT(world.accept_one(press).released, IsEmpty());
  EXPECT_NE(late("third").held_note_id, 0) << "nothing is held any more: a note again";
  world.exchange(chat, "in time", "Yes.");
  EXPECT_NE(late("fourth").held_note_id, 0) << "the conversation went on: the old note stands far above";
  EXPECT_EQ(late("fifth").held_note_id, 0);
}

TEST_P(StoreContract, ADeadLetterIsAskedAgainAsANewTurn) {
  world.exchange(chat, "before", "Yes.");
  const OpenedTurn dead = world.bury(chat, "poison");
  world.reopen();
  const auto letters = world.dead_letters();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].turn_id, dead.turn_id);
  EXPECT_EQ(letters[0].job_id, dead.job_id);
  EXPECT_EQ(letters[0].chat, chat);
  EXPECT_TRUE(world.trace(dead.job_id)->dead);

  const auto again = world.retry_dead_letter(dead.turn_id);
  ASSERT_TRUE(again) << again.error().detail;
  EXPECT_GT(again->turn_id, dead.turn_id);
  EXPECT_NE(again->job.job_id, dead.job_id);
  EXPECT_EQ(again->job.attempt, 1U);
  EXPECT_EQ(again->deaths, 0);
  const auto leased = world.lease(again->job);
  ASSERT_TRUE(leased);
  ASSERT_THAT(leased->turns, SizeIs(3)) << "with the history";
  EXPECT_EQ(leased->turns.back().text, "poison");
  EXPECT_THAT(world.dead_letters(), IsEmpty());
  EXPECT_FALSE(world.trace(dead.job_id)->dead);
  EXPECT_EQ(world.trace(dead.job_id)->asked_again_as, again->turn_id);
  EXPECT_EQ(world.retry_dead_letter(dead.turn_id).error().code, Code::Rejected);
  EXPECT_EQ(world.settle(World::answer(again->job, "At last.")), Settled::Applied);
}

TEST_P(StoreContract, ADeadLetterMayBeDropped) {
  const OpenedTurn dead = world.bury(chat, "poison");
  const auto drop = [&] {
    return await<Nothing>(world.loop,
                          [&](auto done) { world.store().drop_dead_letter(dead.turn_id, std::move(done)); });
  };
  EXPECT_TRUE(drop());
  EXPECT_THAT(world.dead_letters(), IsEmpty());
  EXPECT_EQ(drop().error().code, Code::Rejected);
}

TEST_P(StoreContract, DeadLettersAndHeldQuestionsGoWithTheirTimeAndWithTheirUser) {
  const auto hold = [&](std::int64_t user) {
    Intake intake = world.question({user, 0}, "late", user);
    intake.prompt->held = true;
    world.accept_one(intake);
    return intake;
  };
  const auto held = [&](std::int64_t user) {
    Intake press;
    press.update_id = ++world.last_update;
    press.chat = {user, 0};
    press.release_held = true;
    return world.accept_one(press).released.size();
  };
  world.bury(chat, "poison", 7);
  world.bury({9, 0}, "poison", 9);
  hold(7);
  hold(9);
  ASSERT_TRUE(await<std::uint64_t>(world.loop, [&](auto done) { world.store().forget(7, std::move(done)); }));
  ASSERT_THAT(world.dead_letters(), SizeIs(1));
  EXPECT_EQ(world.dead_letters()[0].user_id, 9);
  EXPECT_EQ(held(7), 0U);
  world.clock.advance(std::chrono::hours{31 * 24});
  world.prune(std::chrono::hours{30 * 24});
  EXPECT_THAT(world.dead_letters(), IsEmpty());
  EXPECT_EQ(held(9), 0U);
}

TEST_P(StoreContract, ATraceTellsEveryStepAndNoText) {
  const OpenedTurn turn = world.ask(chat, "secret?");
  EXPECT_EQ(world.trace(turn.job_id)->state, Trace::State::Queued);
  ASSERT_TRUE(world.lease({turn.job_id, 1}, "w1"));
  EXPECT_EQ(world.trace(turn.job_id)->state, Trace::State::Leased);
  EXPECT_EQ(world.trace(turn.job_id)->attempts.at(0).worker_id, "w1");
  ASSERT_TRUE(world.requeue({turn.job_id, 1}, 1));
  world.clock.advance(Millis{1'000});
  ASSERT_TRUE(world.lease({turn.job_id, 2}, "w2"));
  Settlement answer = World::answer({turn.job_id, 2}, "secret!");
  answer.steps = {world.clock.wall() + Millis{3}, world.clock.wall() + Millis{700}};
  ASSERT_EQ(world.settle(answer), Settled::Applied);
  EXPECT_EQ(world.trace(turn.job_id)->state, Trace::State::Settled);
  ASSERT_TRUE(world.part_sent(turn.placeholder_id, 55));
  EXPECT_THAT(world.trace(turn.job_id)->message_ids, ElementsAre(55));
  world.clock.advance(Millis{2'000});
  const Wall delivered = world.clock.wall();
  ASSERT_TRUE(world.deliver(turn.turn_id));

  const auto trace = world.trace(std::to_string(turn.turn_id));
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->state, Trace::State::Delivered);
  EXPECT_EQ(trace->delivered_at, delivered);
  EXPECT_EQ(trace->settled_at, delivered - Millis{2'000});
  EXPECT_TRUE(trace->answered);
  EXPECT_EQ(trace->usage, (bus::Usage{100, 20, 10, 5}));
  ASSERT_THAT(trace->attempts, SizeIs(2));
  EXPECT_EQ(trace->attempts[0].ending, "its worker died");
  EXPECT_EQ(trace->attempts[0].request_id, "req_0");
  EXPECT_EQ(trace->attempts[0].worker_id, "w1");
  EXPECT_EQ(trace->attempts[1].worker_id, "w2");
  EXPECT_EQ(trace->attempts[1].request_id, "req_1");
  EXPECT_EQ(trace->attempts[1].leased_at, delivered - Millis{2'000});
  EXPECT_EQ(trace->attempts[1].steps.accepted_at, delivered - Millis{1'997});
  EXPECT_EQ(trace->attempts[1].steps.first_text_at, delivered - Millis{1'300});
  EXPECT_EQ(trace->attempts[0].steps.accepted_at, Wall{}) << "it never came that far";
  EXPECT_THAT(trace->message_ids, ElementsAre(55)) << "known for as long as the answer is";

  const OpenedTurn gone = world.exchange(chat, "?", "!");
  const OpenedTurn blocked = world.ask(chat, "?");
  ASSERT_TRUE(world.lease({blocked.job_id, 1}));
  ASSERT_EQ(world.settle(World::answer({blocked.job_id, 1}, "!")), Settled::Applied);
  ASSERT_TRUE(world.deliver(blocked.turn_id, "blocked"));
  EXPECT_EQ(world.trace(blocked.job_id)->state, Trace::State::Abandoned);
  EXPECT_EQ(world.trace(blocked.job_id)->abandoned, "blocked");
  EXPECT_EQ(world.trace(gone.job_id)->state, Trace::State::Delivered);
  const OpenedTurn billed = world.ask({9, 9}, "?");
  ASSERT_TRUE(world.lease({billed.job_id, 1}));
  const auto input_before = world.usage(Wall{}).tokens.input_tokens;
  const AttemptEnd broke{"overloaded",
                         "req_7",
                         0,
                         {30, 2, 1, 4},
                         {world.clock.wall() + Millis{1}, world.clock.wall() + Millis{2}}};
  ASSERT_TRUE(await<bus::JobRef>(world.loop, [&](auto done) {
    world.store().requeue({billed.job_id, 1}, broke, std::move(done));
  }));
  EXPECT_EQ(world.trace(billed.job_id)->attempts.at(0).usage, broke.usage) << "what it cost is known";
  EXPECT_EQ(world.trace(billed.job_id)->attempts.at(0).steps.accepted_at, broke.steps.accepted_at);
  EXPECT_EQ(world.trace(billed.job_id)->attempts.at(0).steps.first_text_at, broke.steps.first_text_at);
  EXPECT_EQ(world.usage(Wall{}).tokens.input_tokens, input_before + 30) << "and booked";
  EXPECT_FALSE(world.trace("nonsense"));
  EXPECT_FALSE(world.trace("999999"));
}

TEST_P(StoreContract, MembersArePut) {
  const Member stranger{11, Standing::Stranger, "k7m2xq9t", world.clock.wall()};
  const auto put = [&](const Member& member) {
    return await<Nothing>(world.loop, [&](auto done) { world.store().put_member(member, done); });
  };
  ASSERT_TRUE(put(stranger));
  ASSERT_TRUE(put({12, Standing::Allowed, "", {}}));
  ASSERT_TRUE(put({11, Standing::Admin, "", world.clock.wall()}));
  world.reopen();
  const auto members =
      await<std::vector<Member>>(world.loop, [&](auto done) { world.store().members(done); });
  ASSERT_TRUE(members);
  ASSERT_THAT(*members, SizeIs(2));
  EXPECT_EQ((*members)[0].standing, Standing::Admin);
  EXPECT_EQ((*members)[0].pairing_code, "");
  EXPECT_EQ((*members)[0].last_reply, world.clock.wall());
  EXPECT_EQ((*members)[1].standing, Standing::Allowed);
}

TEST_P(StoreContract, PruneDeletesWhatIsOldAndNothingElse) {
  for (int i = 0; i < 1200; ++i) {
    Intake seen;
    seen.update_id = 1'000'000 + i;
    seen.seen_at = world.clock.wall();
    world.store().accept({seen}, {});
  }
  world.exchange(chat, "old?", "Old.");
  const OpenedTurn unshown = world.ask(chat, "old, still to be shown?");
  EXPECT_EQ(world.settle(World::answer({unshown.job_id, 1}, "Wait.")), Settled::Applied);
  world.clock.advance(std::chrono::hours{30 * 24} + Millis{1});
  world.exchange({8, 0}, "young?", "Young.");

  // 1200 updates seen and two asked by, one turn.
  EXPECT_EQ(world.prune(std::chrono::hours{30 * 24}), 1203U);
  EXPECT_EQ(world.prune(std::chrono::hours{30 * 24}), 0U);
  EXPECT_THAT(world.told({8, 0}, "?"), SizeIs(3));
  EXPECT_EQ(world.unfinished().turns.at(0).answer, "Wait.");
  EXPECT_THAT(world.told(chat, "?"), ElementsAre("user: old, still to be shown?", "model: Wait.", "user: ?"));
  EXPECT_EQ(world.usage(Wall{}).calls, 5U) << "bookkeeping stays longer";

  EXPECT_TRUE(world.deliver(unshown.turn_id));
  world.clock.advance(std::chrono::hours{400 * 24 + 1});
  EXPECT_GT(world.prune(std::chrono::hours{30 * 24}), 0U);
  EXPECT_EQ(world.usage(Wall{}).calls, 0U);
}

TEST_P(StoreContract, PruneForgetsStrangersAndNobodyWhomTheOperatorJudged) {
  for (const auto standing : {Standing::Stranger, Standing::Allowed, Standing::Admin, Standing::Denied}) {
    const Member member{11 + static_cast<std::int64_t>(standing), standing, "", world.clock.wall()};
    ASSERT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().put_member(member, done); }));
  }
  world.clock.advance(std::chrono::hours{72});
  EXPECT_EQ(world.prune(std::chrono::hours{71}), 1U);
  const auto members =
      await<std::vector<Member>>(world.loop, [&](auto done) { world.store().members(done); });
  EXPECT_THAT(*members, SizeIs(3));
}

TEST_P(StoreContract, APrunedHistoryIsNobodyElsesLater) {
  Intake chosen = world.question({1, 0}, "old?");
  chosen.change = ChatChange{.provider = "openai"};  // so that the conversation outlives its turns
  const auto turn = world.accept_one(chosen).turn.value_or(OpenedTurn{});
  ASSERT_TRUE(world.lease({turn.job_id, 1}));
  ASSERT_TRUE(world.settle(World::answer({turn.job_id, 1}, "Old.")));
  ASSERT_TRUE(world.deliver(turn.turn_id));
  world.clock.advance(std::chrono::hours{31 * 24});
  EXPECT_GT(world.prune(std::chrono::hours{30 * 24}), 0U);
  world.reopen();
  world.exchange({2, 0}, "a secret?", "A secret.");
  EXPECT_THAT(world.told({1, 0}, "new?"), ElementsAre("user: new?"));
}

TEST_P(StoreContract, PruneGoesThroughMoreThanOneStep) {
  for (int i = 0; i < 1300; ++i) {
    const OpenedTurn turn = world.ask({100 + i, 0}, "q");
    world.store().settle(World::answer({turn.job_id, 1}, "a"), {});
    world.store().answer_delivered(turn.turn_id, "", {});
  }
  world.clock.advance(std::chrono::hours{72});
  world.exchange(chat, "young?", "Young.");
  EXPECT_EQ(world.prune(std::chrono::hours{71}), 3U * 1300U) << "a turn, an update and a conversation each";
  EXPECT_THAT(world.told(chat, "?"), SizeIs(3));
}

TEST_P(StoreContract, ForgettingAUserBlanksTheirWordsAndKeepsOthers) {
  const ChatKey group{-50, 0};
  world.exchange(group, "hers?", "To her.", 8);
  world.exchange(group, "his?", "To him.", 7);
  world.exchange(group, "hers again?", "To her again.", 8);
  world.exchange(chat, "private?", "Private.", 7);
  await<Nothing>(world.loop, [&](auto done) {
    world.store().put_member({7, Standing::Allowed, "", {}}, done);
  });
  for (const std::int64_t paused : {7, 8})
    await<Nothing>(world.loop, [&](auto done) { world.store().pause(paused, Millis{99'000}, done); });

  const auto forgotten =
      await<std::uint64_t>(world.loop, [&](auto done) { world.store().forget(7, std::move(done)); });
  ASSERT_TRUE(forgotten);
  EXPECT_GT(*forgotten, 0U);
  EXPECT_THAT(world.told(group, "?"), ElementsAre("user: hers?", "model: To her.", "user: hers again?",
                                                  "model: To her again.", "user: ?"));
  EXPECT_THAT(world.told(chat, "?"), ElementsAre("user: ?"));
  EXPECT_EQ(world.usage(Wall{}, 0).calls, 2U) << "sums stay, under no name";
  ASSERT_THAT(world.unfinished().pauses, SizeIs(1));
  EXPECT_EQ(world.unfinished().pauses[0].chat_id, 8);
  const auto members =
      await<std::vector<Member>>(world.loop, [&](auto done) { world.store().members(done); });
  EXPECT_THAT(*members, IsEmpty());
}

TEST_P(StoreContract, AppliedComesBeforeDurableAndInOrder) {
  std::vector<std::string> seen;
  for (int i = 0; i < 3; ++i) {
    world.store().accept({world.question(chat, "q")},
                         {[&seen, i](const auto&) { seen.push_back("applied " + std::to_string(i)); },
                          [&seen, i](const auto&) { seen.push_back("durable " + std::to_string(i)); }});
  }
  run_until(world.loop, [&] { return seen.size() == 6; });
  std::vector<std::string> applied;
  std::vector<std::string> durable;
  for (const std::string& s : seen)
    (s.starts_with("applied") ? applied : durable).push_back(s);
  EXPECT_THAT(applied, ElementsAre("applied 0", "applied 1", "applied 2"));
  EXPECT_THAT(durable, ElementsAre("durable 0", "durable 1", "durable 2"));
}

TEST_P(StoreContract, OperationsMayFollowEachOtherWithoutWaiting) {
  // As early dispatch does: the lease is asked for at `applied`, before the accept is durable.
  bool leased = false;
  world.store().accept({world.question(chat, "quick?")}, {[&](const Result<std::vector<Accepted>>& accepted) {
                         ASSERT_TRUE(accepted);
                         world.store().lease({accepted->front().turn->job_id, 1}, "w1", "claude", "m", 0,
                                             {{}, [&](Result<LeasedJob> job) { leased = job.has_value(); }});
                       }});
  run_until(world.loop, [&] { return leased; });
}

TEST_P(StoreContract, ClosingCommitsWhatWasAskedForAndDropsTheCompletions) {
  bool called = false;
  for (int i = 0; i < 700; ++i) {
    world.store().accept({world.question(chat, "q")}, {{}, [&](const auto&) { called = true; }});
  }
  world.close();
  world.loop.run_once(Millis{0});
  EXPECT_FALSE(called);
  world.reopen();
  EXPECT_THAT(world.unfinished().turns, SizeIs(700));
}

TEST_P(StoreContract, Pings) {
  EXPECT_TRUE(await<Nothing>(world.loop, [&](auto done) { world.store().ping(done); }));
}

TEST_P(StoreContract, ACopyOfTheRunningStoreIsWhole) {
  for (int i = 0; i < 300; ++i)
    world.store().accept({world.question(chat, std::string(3000, 'x'))}, {});
  std::optional<Result<Nothing>> copied;
  world.store().backup(folder.file("copy.db"), {{}, [&](Result<Nothing> done) { copied = std::move(done); }});
  for (int i = 0; i < 300; ++i)
    world.store().accept({world.question(chat, "while it is copied")}, {});
  run_until(world.loop, [&] { return copied.has_value(); });
  ASSERT_TRUE(*copied) << copied->error().detail;
  EXPECT_FALSE(await<Nothing>(world.loop, [&](auto done) {
    world.store().backup(folder.file("copy.db"), done);
  })) << "an existing file is not overwritten";
  loop::Loop loop;
  auto copy = open_store(loop, world.clock, "sqlite:" + folder.file("copy.db"), World::kBot);
  ASSERT_TRUE(copy) << copy.error().detail;
  const auto open = await<Unfinished>(loop, [&](auto done) { (*copy)->unfinished(done); });
  EXPECT_GE(open->turns.size(), 300U);
}

INSTANTIATE_TEST_SUITE_P(Drivers, StoreContract,
                         ::testing::Values(Driver{"Sqlite",
                                                  [](const Folder& folder) {
                                                    return "sqlite:" + folder.file("state/katana.db");
                                                  }}),
                         [](const auto& driver) { return driver.param.name; });

}  // namespace
}  // namespace katana::gateway
