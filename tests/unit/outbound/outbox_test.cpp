#include <random>

#include <gmock/gmock.h>

#include "tests/unit/outbound/world.hpp"

namespace katana::gateway {
namespace {

using test::FakeStore;
using test::FakeTelegram;
using test::SimAlarm;
using test::World;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kGroup = -500;

/// An outbox in a simulated world.
struct OutboxTest : testing::Test {
  World world;
  FakeTelegram telegram{world};
  FakeStore store{world};
  SimAlarm alarm{world};
  OutboxConfig config;
  std::unique_ptr<Outbox> outbox;
  std::map<std::int64_t, std::string> delivered;
  std::map<std::int64_t, Millis> first_text;
  std::vector<std::int64_t> gone;
  std::vector<std::string> errors;
  bool just_started = false;  ///< else its buckets have had time to fill

  Outbox& box() {
    if (!outbox) {
      OutboxEvents events;
      events.on_delivered = [this](std::int64_t turn, const std::string& why) {
        EXPECT_TRUE(delivered.emplace(turn, why).second) << "told twice";
      };
      events.on_first_text = [this](std::int64_t turn, Mono) { first_text[turn] = world.now(); };
      events.on_chat_gone = [this](std::int64_t chat) { gone.push_back(chat); };
      events.on_error = [this](const Error& e, std::string_view doing) {
        errors.push_back(std::string(doing) + ": " + std::string(to_string(e.code)));
      };
      outbox = std::make_unique<Outbox>(telegram, store, world.clock, alarm, config, std::move(events));
      if (!just_started) world.begin();
    }
    return *outbox;
  }
  void open(std::int64_t turn, std::int64_t chat = 7) {
    box().open(AnswerSlot{.turn_id = turn,
                          .chat = {chat, 0},
                          .question_id = 55,
                          .group = chat < 0,
                          .parts = {AnswerPart{.outbox_id = turn * 10}}});
  }
  /// Telegram refuses every call to `kGroup`, and names its new id.
  void move_group_to(std::int64_t to) {
    telegram.fault = [to](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
      if (c.chat != kGroup) return {};
      auto e = FakeTelegram::error(Code::Rejected, telegram::Refusal::Migrated);
      e.migrate_to = to;
      return FakeTelegram::Fault{e};
    };
  }
  void until_idle() {
    ASSERT_TRUE(world.run_until([this] { return box().idle(); }));
  }
  void TearDown() override { EXPECT_THAT(telegram.broken, IsEmpty()); }
};

std::string words(int n, const std::string& stem = "word") {
  std::string s;
  for (int i = 0; i < n; ++i)
    s += stem + std::to_string(i) + (i % 40 == 39 ? "\n\n" : " ");
  return s;
}

TEST_F(OutboxTest, ShowsAPlaceholderThenTheAnswerWithItsFormatting) {
  open(1);
  EXPECT_EQ(telegram.count("send"), 1) << "at once";
  world.run_for(Millis{500});
  EXPECT_THAT(telegram.texts(7), ElementsAre("…"));
  EXPECT_EQ(store.part_messages.at(10), 101);
  box().finish(1, {.text = "It is **bold**.", .footer = "42 tokens"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("It is bold.\n\n42 tokens"));
  EXPECT_EQ(telegram.messages.at(101).out.entities, (std::vector<telegram::Entity>{{"bold", 6, 4}}));
  EXPECT_EQ(telegram.calls.size(), 2u);
  EXPECT_EQ(delivered.at(1), "");
  EXPECT_EQ(store.delivered.at(1), "");
  EXPECT_EQ(box().load().answers, 0u);
}

TEST_F(OutboxTest, NoTextIsPutIntoAMessageWhoseIdIsNotDurable) {
  store.durable_after = Millis{700};
  open(1);
  box().finish(1, {.text = "known before the placeholder was sent"});
  world.run_for(Millis{700});
  EXPECT_THAT(telegram.texts(7), ElementsAre("…"));
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("known before the placeholder was sent"));
}

TEST_F(OutboxTest, GrowsAtReadingPaceWithTheNewestTextAndEndsAtOnce) {
  open(1);
  for (int i = 0; i < 500; ++i) {
    world.run_for(Millis{20});
    box().grow(1, "w" + std::to_string(i) + " ");
  }
  const int edits = telegram.count("edit");
  EXPECT_GE(edits, 9);
  EXPECT_LE(edits, 11) << "10 s of text, about one edit a second";
  EXPECT_LT(first_text.at(1), Millis{200});
  const Millis before = world.now();
  box().finish(1, {.text = "short now"});
  until_idle();
  EXPECT_LT(world.now() - before, Millis{150}) << "the last edit doesn't wait for the next second";
  EXPECT_THAT(telegram.texts(7), ElementsAre("short now"));
}

TEST_F(OutboxTest, AWholeGroupSharesOneEditInSixSeconds) {
  for (int t = 1; t <= 3; ++t)
    open(t, kGroup);
  for (int i = 0; i < 600; ++i) {
    world.run_for(Millis{100});
    for (int t = 1; t <= 3; ++t)
      box().grow(t, "x ");
  }
  const int edits = telegram.count("edit", kGroup);
  EXPECT_GE(edits, 8);
  EXPECT_LE(edits, 3 + 11);
  for (int t = 1; t <= 3; ++t)
    box().finish(t, {.text = "end " + std::to_string(t)});
  until_idle();
  EXPECT_THAT(telegram.texts(kGroup), ElementsAre("end 1", "end 2", "end 3"));
  EXPECT_EQ(telegram.calls.front().out.reply_to, 55) << "threaded to the question";
}

TEST_F(OutboxTest, LongAnswersSpanMessagesThatAreBornAsPlaceholders) {
  open(1);
  const std::string text = words(1500);
  for (std::size_t at = 0; at < text.size(); at += 200) {
    world.run_for(Millis{300});
    box().grow(1, text.substr(at, 200));
  }
  box().finish(1, {.text = text, .footer = "footer"});
  until_idle();
  const auto texts = telegram.texts(7);
  ASSERT_GE(texts.size(), 3u);
  std::string joined;
  for (const auto& t : texts)
    joined += t + " ";
  for (int i = 0; i < 1500; ++i)
    EXPECT_NE(joined.find("word" + std::to_string(i)), std::string::npos);
  EXPECT_TRUE(texts.back().ends_with("footer"));
  for (const auto& call : telegram.calls) {
    if (call.method == "send") {
      EXPECT_EQ(call.out.text, "…");
    }
  }
  EXPECT_EQ(store.rows_added, static_cast<int>(texts.size()) - 1);
}

TEST_F(OutboxTest, TheMessagesOfAnAnswerStandTogether) {
  open(1);
  open(2);
  open(3);
  world.run_for(Millis{5'000});
  ASSERT_THAT(telegram.texts(7), ElementsAre("…", "…", "…")) << "at once";
  box().grow(1, words(700));
  world.run_for(Millis{5'000});
  box().finish(3, {.text = "Stopped."});
  world.run_for(Millis{5'000});
  box().reply({7, 0}, 900, {.text = "a note"});
  world.run_for(Millis{5'000});
  EXPECT_THAT(telegram.texts(7), Contains("a note")) << "which doesn't wait";
  box().finish(1, {.text = words(1500)});
  box().finish(2, {.text = "two"});
  until_idle();
  auto texts = telegram.texts(7);
  std::erase(texts, "a note");
  ASSERT_GE(texts.size(), 5u);
  EXPECT_EQ(texts[texts.size() - 2], "two");
  EXPECT_EQ(texts.back(), "Stopped.");
  for (std::size_t i = 0; i + 2 < texts.size(); ++i)
    EXPECT_NE(texts[i].find("word"), std::string::npos) << texts[i];
  EXPECT_EQ(telegram.count("delete"), 2) << "each steps aside once";
}

TEST_F(OutboxTest, APlaceholderStepsAsideOnceHoweverManyLongAnswersComeBeforeIt) {
  constexpr int kWaiting = 10;
  for (int turn = 1; turn <= kWaiting; ++turn)
    open(turn);
  world.run_for(Millis{30'000});
  EXPECT_EQ(telegram.texts(7).size(), static_cast<std::size_t>(kWaiting));
  for (int turn = 1; turn <= kWaiting; ++turn) {
    box().finish(turn, {.text = words(1000) + "END" + std::to_string(turn)});
    world.run_for(Millis{60'000});
  }
  until_idle();
  EXPECT_EQ(telegram.count("delete"), kWaiting - 1);
  int sounds = 0;
  for (const auto& call : telegram.calls)
    if (call.method == "send" && !call.out.silent) ++sounds;
  EXPECT_EQ(sounds, kWaiting) << "one a question";
  int last = 0;
  for (const auto& text : telegram.texts(7)) {
    const auto end = text.find("END");
    if (end == std::string::npos) continue;
    EXPECT_EQ(std::stoi(text.substr(end + 3)), ++last);
  }
  EXPECT_EQ(last, kWaiting);
}

TEST_F(OutboxTest, WhatIsAskedWhileOneIsAsideComesAfterIt) {
  open(1);
  open(2);
  world.run_for(Millis{5'000});
  box().grow(1, words(900));
  world.run_for(Millis{5'000});
  EXPECT_EQ(telegram.count("delete"), 1);
  box().restart(1);  // a new attempt: nothing says that it will be long again
  open(3);
  world.run_for(Millis{5'000});
  box().finish(1, {.text = "one"});
  box().finish(2, {.text = "two"});
  box().finish(3, {.text = "three"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("one", "two", "three"));
}

TEST_F(OutboxTest, AfterADeathBetweenTwoStepsAsideTheSecondOneFollows) {
  open(1);
  open(2);  // its placeholder was gone when we died
  box().open(
      AnswerSlot{.turn_id = 3, .chat = {7, 0}, .parts = {AnswerPart{.outbox_id = 30, .message_id = -5}}});
  telegram.messages[-5] = {7, {.chat_id = 7, .text = "…"}, false};  // older than all that come
  for (int turn = 1; turn <= 3; ++turn)
    box().finish(turn, {.text = "answer " + std::to_string(turn)});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("answer 1", "answer 2", "answer 3"));
}

TEST_F(OutboxTest, WithStreamingOffNothingStepsAsideForTextThatIsNotShownYet) {
  config.streaming = config::Streaming::Off;
  open(1);
  open(2);
  world.run_for(Millis{5'000});
  box().grow(1, words(1500));
  world.run_for(Millis{10'000});
  EXPECT_EQ(telegram.count("delete"), 0);
  box().finish(1, {.text = words(1500)});
  box().finish(2, {.text = "two"});
  until_idle();
  EXPECT_EQ(telegram.texts(7).back(), "two");
}

TEST_F(OutboxTest, APlaceholderThatCantBeDeletedStaysAndItsAnswerComesBelow) {
  open(1);
  open(2);
  world.run_for(Millis{5'000});
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "delete") return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected, telegram::Refusal::Other)};
  };
  box().finish(1, {.text = words(1500)});
  box().finish(2, {.text = "two"});
  until_idle();
  EXPECT_EQ(telegram.texts(7).back(), "two");
  EXPECT_EQ(store.delivered.at(2), "");
}

TEST_F(OutboxTest, InAGroupEachMessageOfAnAnswerNamesItsQuestion) {
  open(1, kGroup);
  open(2, kGroup);
  world.run_for(Millis{60'000});
  box().finish(1, {.text = words(1500)});
  box().finish(2, {.text = "two"});
  until_idle();
  for (const auto& call : telegram.calls) {
    EXPECT_NE(call.method, "delete");
    if (call.method == "send") {
      EXPECT_EQ(call.out.reply_to, 55);
    }
  }
}

TEST_F(OutboxTest, FrozenPartsAreNotEditedAgain) {
  open(1);
  box().grow(1, words(900));
  world.run_for(Millis{20'000});
  const int before = telegram.count("edit");
  const std::int64_t first = telegram.messages.begin()->first;
  box().grow(1, words(100, "more"));
  world.run_for(Millis{20'000});
  EXPECT_GT(telegram.count("edit"), before);
  for (std::size_t i = 0; i < telegram.calls.size(); ++i) {
    const auto& c = telegram.calls[i];
    if (c.method == "edit" && c.out.text.find("more") != std::string::npos) {
      EXPECT_NE(c.message_id, first);
    }
  }
}

TEST_F(OutboxTest, ANewAttemptEditsPartsAnewAndDeletesSurplusOnes) {
  open(1);
  box().grow(1, words(1200));
  world.run_for(Millis{20'000});
  EXPECT_GE(telegram.texts(7).size(), 2u);
  box().restart(1);
  world.run_for(Millis{3'000});
  EXPECT_TRUE(telegram.texts(7).front().starts_with("word0")) << "shown text stays until there is new text";
  box().grow(1, "\n");
  box().grow(1, "second ");
  world.run_for(Millis{3'000});
  EXPECT_EQ(telegram.texts(7).front(), "second");
  box().grow(1, "try");
  box().finish(1, {.text = "\nsecond try"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("second try"));
  EXPECT_GE(telegram.count("delete"), 1);
}

TEST_F(OutboxTest, ATooManyRequestsPausesThatChatExactlyAndLosesNothing) {
  open(1);
  open(2, 8);
  world.run_for(Millis{1'000});
  box().grow(1, "one ");
  bool hit = false;
  Mono at{};
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (hit || c.chat != 7 || c.method != "edit") return {};
    hit = true;
    at = c.at;
    return FakeTelegram::Fault{FakeTelegram::too_many(Millis{7'000})};
  };
  world.run_for(Millis{500});
  ASSERT_TRUE(hit);
  box().finish(1, {.text = "one two"});
  box().finish(2, {.text = "other"});
  const std::size_t before = telegram.calls.size();
  until_idle();
  std::vector<Millis> to_7;
  for (std::size_t i = before; i < telegram.calls.size(); ++i) {
    if (telegram.calls[i].chat == 7)
      to_7.push_back(std::chrono::duration_cast<Millis>(telegram.calls[i].at - at));
  }
  EXPECT_THAT(errors, testing::Contains(testing::StartsWith("edit in chat 7, job ")));
  EXPECT_THAT(to_7, ElementsAre(Millis{7'040})) << "retry_after from the answer on; nothing sneaks past";
  EXPECT_THAT(telegram.texts(7), ElementsAre("one two"));
  EXPECT_THAT(telegram.texts(8), ElementsAre("other"));
  EXPECT_EQ(box().load().rate_limited, 1u);
}

TEST_F(OutboxTest, SeveralChatsHitPauseTheBot) {
  int hits = 0;
  Mono last{};
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (hits == 3) return {};
    ++hits;
    last = c.at;
    return FakeTelegram::Fault{FakeTelegram::too_many(Millis{5'000})};
  };
  for (int t = 1; t <= 3; ++t)
    open(t, t);
  world.run_for(Millis{200});
  open(4, 4);
  const std::size_t before = telegram.calls.size();
  world.run_for(Millis{4'000});
  EXPECT_EQ(telegram.calls.size(), before);
  world.run_for(Millis{10'000});
  EXPECT_EQ(telegram.count("send"), 3 + 4);
}

TEST_F(OutboxTest, A429sPauseIsKeptInTheStore) {
  int hits = 0;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (hits == 3) return {};
    return FakeTelegram::Fault{FakeTelegram::too_many(Millis{1'000 * (30 + ++hits)})};
  };
  store.failures = 1;
  open(1, 1);
  world.run_for(Millis{1'000});
  EXPECT_THAT(store.pauses, ElementsAre(testing::Pair(1, testing::Lt(Millis{31'000}))))
      << "a store that fails is asked again, for what is left";
  open(2, 2);
  open(3, kGroup);
  world.run_for(Millis{1'000});
  EXPECT_EQ(store.pauses.at(2), Millis{32'000});
  EXPECT_EQ(store.pauses.at(kGroup), Millis{33'000});
  EXPECT_EQ(store.pauses.at(0), Millis{33'000}) << "the bot's";
}

TEST_F(OutboxTest, APauseOfAnEarlierProcessIsKept) {
  just_started = true;
  box().pause(7, Millis{37'000});
  box().reply({7, 0}, 900, {.text = "note"});
  open(1);
  open(2, 8);
  box().typing({7, 0});
  box().finish(1, {.text = "one"});
  box().finish(2, {.text = "other"});
  world.run_for(Millis{36'999});
  EXPECT_THAT(telegram.texts(8), ElementsAre("other"));
  EXPECT_THAT(telegram.texts(7), IsEmpty());
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("note", "one"));
  box().pause(0, Millis{50'000});
  const Millis then = world.now();
  open(3, 9);
  box().answer_press("p", "");
  world.run_for(Millis{49'999});
  EXPECT_EQ(telegram.calls.back().chat, 7) << "nothing to anybody";
  EXPECT_TRUE(world.run_until([&] { return telegram.calls.back().chat == 9; }));
  EXPECT_EQ(world.now() - then, Millis{50'000});
}

TEST_F(OutboxTest, AfterAStartAChatsFirstCallGoesAtOnceAndTheRestAtThePace) {
  just_started = true;
  open(1);
  box().finish(1, {.text = "answer"});
  until_idle();
  ASSERT_EQ(telegram.calls.size(), 2u);
  EXPECT_EQ(telegram.calls[1].at - telegram.calls[0].at, Seconds{1});
}

TEST_F(OutboxTest, A429AmongFirstSendsKeepsTheirOrder) {
  bool hit = false;
  Mono at{};
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "send" || std::exchange(hit, true)) return {};
    at = c.at;
    return FakeTelegram::Fault{FakeTelegram::too_many(Millis{9'000})};
  };
  box().reply({7, 0}, 900, {.text = "first"});
  open(1);
  world.run_for(Millis{100});
  ASSERT_TRUE(hit);
  const std::size_t before = telegram.calls.size();
  box().reply({7, 0}, 901, {.text = "third"});
  open(2);
  box().typing({7, 0});
  box().finish(2, {.text = "answer 2"});
  box().finish(1, {.text = "answer 1"});
  until_idle();
  EXPECT_EQ(telegram.calls[before].at - at, Millis{9'040}) << "nothing sneaks past";
  EXPECT_THAT(telegram.texts(7), ElementsAre("first", "answer 1", "third", "answer 2"));
}

TEST_F(OutboxTest, AButtonsAnswerWaitsForTheBotAndNotForItsChat) {
  bool hit = false;
  telegram.latency = Millis{2'000};
  open(1);
  world.run_for(Millis{10});
  box().answer_press("a", "");
  world.run_for(Millis{100});
  EXPECT_EQ(telegram.count("press a"), 1) << "a call to the chat is under way";
  until_idle();
  telegram.latency = Millis{40};
  for (int i = 0; i < 100; ++i)
    box().answer_press("b", "");
  until_idle();
  world.run_for(Millis{5'000});
  EXPECT_EQ(telegram.count("press b"), 100);
  EXPECT_THAT(telegram.broken, IsEmpty()) << "they count for the bot's second";

  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (std::exchange(hit, true)) return {};
    return FakeTelegram::Fault{FakeTelegram::too_many(Millis{20'000})};
  };
  box().answer_press("c", "");
  world.run_for(Millis{100});
  const std::size_t before = telegram.calls.size();
  open(2, 8);
  box().answer_press("d", "");
  world.run_for(Millis{19'000});
  EXPECT_EQ(telegram.calls.size(), before) << "a 429 for a call to no chat is the bot's";
  EXPECT_EQ(store.pauses.at(0), Millis{20'000});
  world.run_for(Millis{10'000});
  EXPECT_THAT(telegram.texts(8), ElementsAre("…"));
  EXPECT_EQ(telegram.count("press c"), 1) << "not repeated";
  EXPECT_EQ(telegram.count("press d"), 0) << "too late";
  EXPECT_EQ(box().load().in_flight, 0u);
}

TEST_F(OutboxTest, FinalTextGoesBeforeFirstTextBeforeEdits) {
  config.limits = {2, 0, 0};  // the bot's second is what all wait for
  telegram.enforce = false;
  for (const int t : {1, 2, 3, 4}) {
    open(t, t);
    box().grow(t, t == 1 ? "grown" : "");
  }
  ASSERT_TRUE(world.run_until([&] { return telegram.texts(1).size() == 1 && telegram.texts(1)[0] != "…"; }));
  ASSERT_TRUE(world.run_until([&] { return telegram.count("send") == 4; }));
  world.run_for(Millis{30'000});
  box().pause(0, Millis{5'000});
  const std::size_t before = telegram.calls.size();
  box().typing({9, 0});
  box().grow(1, " more");
  box().grow(2, "begun");
  box().answer_press("p", "");
  open(5, 5);
  box().finish(3, {.text = "end"});
  box().reply({6, 0}, 900, {.text = "note"});
  ASSERT_TRUE(world.run_until([&] { return telegram.calls.size() >= before + 6; }, Millis{30'000}));
  std::vector<std::string> order;
  for (std::size_t i = before; i < before + 6; ++i)
    order.push_back(telegram.calls[i].method + " " + std::to_string(telegram.calls[i].chat));
  EXPECT_THAT(order, ElementsAre("edit 3", "press p 0", "send 6", "send 5", "edit 2", "edit 1"))
      << "the reply is first noted as attempted, which is no call";
  world.run_for(Millis{10'000});
  EXPECT_EQ(telegram.count("typing"), 0) << "too late for it";
}

TEST_F(OutboxTest, AnUncertainPlaceholderIsSentAgainAndTheTextShownOnce) {
  bool lost = false;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (std::exchange(lost, true)) return {};
    return FakeTelegram::Fault{FakeTelegram::no_answer(), true};
  };
  open(1);
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("…", "answer")) << "a stray placeholder is the whole price";
}

TEST_F(OutboxTest, AnUncertainEditIsRepeated) {
  open(1);
  bool lost = false;
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "edit" || std::exchange(lost, true)) return {};
    return FakeTelegram::Fault{FakeTelegram::no_answer(Code::Network), true};
  };
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("answer"));
  EXPECT_EQ(telegram.count("edit"), 2);
  EXPECT_EQ(delivered.at(1), "") << "'not modified' means done";
}

TEST_F(OutboxTest, ACallThatNeverLeftIsRepeatedAtOnce) {
  bool failed = false;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (std::exchange(failed, true)) return {};
    return FakeTelegram::Fault{FakeTelegram::no_answer(Code::Network, true)};
  };
  open(1);
  world.run_for(Millis{120});
  EXPECT_THAT(telegram.texts(7), ElementsAre("…"));
}

TEST_F(OutboxTest, ALongOutageIsWaitedOutInOrder) {
  bool down = true;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (!down) return {};
    return FakeTelegram::Fault{FakeTelegram::no_answer(Code::Network, true)};
  };
  for (int t = 1; t <= 50; ++t) {
    open(t, t);
    box().finish(t, {.text = "answer " + std::to_string(t)});
  }
  world.run_for(Millis{600'000});
  EXPECT_LT(telegram.calls.size(), 500u) << "no storm against a dead network";
  down = false;
  until_idle();
  for (int t = 1; t <= 50; ++t)
    EXPECT_THAT(telegram.texts(t), ElementsAre("answer " + std::to_string(t)));
}

TEST_F(OutboxTest, RefusedFormattingIsSentPlainOnce) {
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.out.entities.empty()) return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected, telegram::Refusal::BadFormatting)};
  };
  open(1);
  box().finish(1, {.text = "a **b** [c](https://d.e)"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("a **b** [c](https://d.e)"));
  EXPECT_EQ(telegram.count("edit"), 2);
}

TEST_F(OutboxTest, WhatTelegramRefusesForGoodIsGivenUp) {
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "edit") return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected)};
  };
  open(1);
  box().finish(1, {.text = "x"});
  until_idle();
  EXPECT_EQ(telegram.count("edit"), 3) << "formatted, plain, and the words that say so";
  EXPECT_EQ(delivered.at(1), "refused: scripted");
  EXPECT_EQ(store.delivered.at(1), "refused: scripted");
}

TEST_F(OutboxTest, WordsTakeThePlaceOfATextThatIsRefused) {
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.out.text.find("poison") == std::string::npos) return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected)};
  };
  open(1);
  box().finish(1, {.text = "poison"});
  until_idle();
  ASSERT_THAT(telegram.texts(7), testing::SizeIs(1));
  EXPECT_THAT(telegram.texts(7)[0], testing::HasSubstr("in other words"));
  EXPECT_EQ(store.delivered.at(1), "refused: scripted") << "the operator's trace tells it";
}

TEST_F(OutboxTest, APieceThatIsRefusedIsNotTheEnd) {
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "edit" || c.out.text.find("whole") != std::string::npos) return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected)};
  };
  open(1);
  box().grow(1, "a first");
  world.run_for(Millis{10'000});
  EXPECT_EQ(telegram.count("edit"), 2) << "the same piece isn't tried for ever";
  box().finish(1, {.text = "a first piece, and the **whole**"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("a first piece, and the whole"));
  EXPECT_EQ(delivered.at(1), "");
}

TEST_F(OutboxTest, ADeletedMessageIsBornAgain) {
  open(1);
  world.run_for(Millis{1'000});
  telegram.messages.begin()->second.deleted = true;
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("answer"));
  EXPECT_EQ(store.part_messages.at(10), 102);
}

TEST_F(OutboxTest, ABlockedChatIsLeftAlone) {
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected, telegram::Refusal::ChatGone, 403)};
  };
  open(1);
  box().reply({7, 0}, 900, {.text = "note"});
  world.run_for(Millis{1'000});
  EXPECT_THAT(gone, ElementsAre(7));
  EXPECT_EQ(store.replies_done.at(900), "blocked");
  box().grow(1, "more");
  world.run_for(Millis{60'000});
  EXPECT_EQ(telegram.calls.size(), 1u);
  EXPECT_TRUE(delivered.empty()) << "its job still runs";
  box().finish(1, {.text = "more text"});
  until_idle();
  EXPECT_EQ(delivered.at(1), "blocked");
  telegram.fault = nullptr;
  open(2);
  box().finish(2, {.text = "back again"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("back again"));
}

TEST_F(OutboxTest, ARefusalOfTheChatAcceptsTheToken) {
  Code code = Code::Auth;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    return code == Code::Auth
               ? FakeTelegram::Fault{FakeTelegram::error(code, telegram::Refusal::Other, 401)}
               : FakeTelegram::Fault{FakeTelegram::error(code, telegram::Refusal::ChatGone, 403)};
  };
  box().reply({7, 0}, 900, {.text = "note"});
  world.run_for(Millis{1'000});
  EXPECT_TRUE(box().load().held);
  code = Code::Rejected;
  box().resume();
  until_idle();
  EXPECT_EQ(store.replies_done.at(900), "blocked");
  EXPECT_FALSE(box().load().held);
}

TEST_F(OutboxTest, AMigratedGroupIsFollowed) {
  open(1, kGroup);
  world.run_for(Millis{500});
  move_group_to(-10'077);
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("answer"));
  EXPECT_THAT(store.migrated, ElementsAre(std::pair<std::int64_t, std::int64_t>{kGroup, -10'077}));
  open(2, kGroup);
  box().finish(2, {.text = "later"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("answer", "later"));
}

TEST_F(OutboxTest, AGroupThatTellsOfItsMoveIsFollowedBeforeAnythingIsRefused) {
  open(1, kGroup);
  box().grow(1, "half");
  world.run_for(Millis{8'000});
  box().chat_moved(kGroup, -10'077);
  box().chat_moved(kGroup, -10'077);
  box().finish(1, {.text = "half and whole"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("half and whole"));
  EXPECT_EQ(store.migrated.size(), 1u) << "told twice, done once";
  open(2, kGroup);
  box().finish(2, {.text = "later"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("half and whole", "later"));
}

TEST_F(OutboxTest, ACallUnderWayToTheOldIdEndsBeforeTheGroupMoves) {
  open(1, kGroup);
  box().chat_moved(kGroup, -10'077);  // while the placeholder is on its way
  EXPECT_TRUE(store.migrated.empty());
  world.run_for(Millis{10'000});
  EXPECT_EQ(store.migrated.size(), 1u);
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("answer"));
}

TEST_F(OutboxTest, WithACallUnderWayToTheOldIdItsRefusalMovesTheGroup) {
  open(1, kGroup);
  box().chat_moved(kGroup, -10'077);
  EXPECT_TRUE(store.migrated.empty());
  move_group_to(-10'077);
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(-10'077), ElementsAre("answer"));
}

TEST_F(OutboxTest, ARefusedTokenHoldsEverythingUntilItIsMended) {
  bool bad = true;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (!bad) return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Auth, telegram::Refusal::Other, 401)};
  };
  for (int t = 1; t <= 20; ++t)
    open(t, t);
  world.run_for(Millis{100});
  EXPECT_TRUE(box().load().held);
  const std::size_t at_first = telegram.calls.size();
  world.run_for(Millis{900'000});
  EXPECT_LE(telegram.calls.size(), at_first + 3) << "one try in 5 minutes";
  bad = false;
  box().resume();
  world.run_for(Millis{5'000});
  EXPECT_FALSE(box().load().held);
  for (int t = 1; t <= 20; ++t)
    EXPECT_THAT(telegram.texts(t), ElementsAre("…"));
}

TEST_F(OutboxTest, RepliesAreAttemptedDurablyAndKeepTheirOrder) {
  open(1);
  box().reply({7, 0}, 900, {.reply_to = 3, .text = "first", .keyboard = {{{"b", "d"}}}});
  open(2);
  box().reply({7, 0}, 901, {.text = "second"});
  box().finish(2, {.text = "answer 2"});
  box().finish(1, {.text = "answer 1"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("answer 1", "first", "answer 2", "second"));
  EXPECT_THAT(store.attempting, ElementsAre(900, 901));
  EXPECT_EQ(store.replies_done.size(), 2u);
}

TEST_F(OutboxTest, AStoreThatFailsIsAskedAgain) {
  store.failures = 5;
  box().reply({7, 0}, 900, {.text = "first"});
  open(1);
  box().finish(1, {.text = "answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("first", "answer"));
  EXPECT_EQ(store.replies_done.count(900), 1u);
  EXPECT_EQ(store.delivered.count(1), 1u);
  EXPECT_THAT(errors, testing::Contains("store reply_attempting: internal"));
}

TEST_F(OutboxTest, MorePartsThanTheStoreTakesAreLeftOutAndSaid) {
  store.most_parts = 2;
  open(1);
  box().finish(1, {.text = words(3000)});
  until_idle();
  EXPECT_EQ(telegram.texts(7).size(), 2u);
  EXPECT_EQ(delivered.at(1), "too long: its end is not shown");
}

TEST_F(OutboxTest, AnUncertainReplyIsSentAgainOrAskedAbout) {
  for (const bool ask : {false, true}) {
    outbox.reset();
    config.uncertain = ask ? config::Uncertain::Ask : config::Uncertain::Resend;
    const std::int64_t chat = ask ? 8 : 7;
    bool lost = false;
    telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
      if (std::exchange(lost, true)) return {};
      return FakeTelegram::Fault{FakeTelegram::no_answer(), true};
    };
    box().reply({chat, 0}, 900, {.text = "note"});
    until_idle();
    if (!ask) {
      EXPECT_THAT(telegram.texts(chat), ElementsAre("note", "note"));
      continue;
    }
    EXPECT_THAT(telegram.texts(chat), ElementsAre("note", config.uncertain_note));
    EXPECT_EQ(telegram.messages.rbegin()->second.out.keyboard.at(0).at(0).data, "again:900");
    EXPECT_TRUE(box().again(900));
    EXPECT_FALSE(box().again(900));
    until_idle();
    EXPECT_EQ(telegram.texts(chat).back(), "note");
  }
}

TEST_F(OutboxTest, WhereThereIsNoPlaceholderAnUncertainAnswerIsSentAgainOrAskedAbout) {
  for (const bool ask : {false, true}) {
    outbox.reset();
    config.streaming = config::Streaming::Draft;
    config.uncertain = ask ? config::Uncertain::Ask : config::Uncertain::Resend;
    const std::int64_t chat = ask ? 8 : 7;
    bool lost = false;
    telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
      if (c.method != "send" || std::exchange(lost, true)) return {};
      return FakeTelegram::Fault{FakeTelegram::no_answer(), true};
    };
    open(chat, chat);
    box().finish(chat, {.text = "answer"});
    until_idle();
    if (ask)
      EXPECT_THAT(telegram.texts(chat), ElementsAre("answer", config.uncertain_note));
    else
      EXPECT_THAT(telegram.texts(chat), ElementsAre("answer", "answer"));
  }
}

TEST_F(OutboxTest, WithStreamingOffThereIsThePlaceholderAndTheFinalText) {
  config.streaming = config::Streaming::Off;
  open(1);
  for (int i = 0; i < 20; ++i) {
    world.run_for(Millis{500});
    box().grow(1, words(100));
  }
  EXPECT_EQ(telegram.calls.size(), 1u);
  box().finish(1, {.text = "end"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("end"));
  EXPECT_EQ(telegram.calls.size(), 2u);
}

TEST_F(OutboxTest, DraftsGrowInPrivateChatsAndEndAsMessages) {
  config.streaming = config::Streaming::Draft;
  open(1);
  open(2, kGroup);
  EXPECT_EQ(telegram.calls.front().method, "draft");
  EXPECT_EQ(telegram.calls.front().out.text, "") << "shows 'Thinking…'";
  for (int i = 0; i < 50; ++i) {
    world.run_for(Millis{100});
    box().grow(1, "w" + std::to_string(i) + " ");
  }
  EXPECT_THAT(telegram.texts(7), IsEmpty());
  EXPECT_GE(telegram.count("draft"), 5);
  EXPECT_THAT(telegram.texts(kGroup), ElementsAre("…")) << "groups have no drafts";
  const int drafts = telegram.count("draft");
  world.run_for(Millis{60'000});
  EXPECT_GE(telegram.count("draft"), drafts + 2) << "a draft lasts 30 s";
  box().finish(1, {.text = words(900)});
  box().finish(2, {.text = "group"});
  until_idle();
  EXPECT_GE(telegram.texts(7).size(), 2u);
  EXPECT_TRUE(telegram.texts(7).front().starts_with("word0"));
  EXPECT_EQ(telegram.count("edit", 7), 0);
  EXPECT_THAT(telegram.texts(kGroup), ElementsAre("group"));
}

TEST_F(OutboxTest, WhereDraftsAreRefusedEditsTakeOver) {
  config.streaming = config::Streaming::Draft;
  telegram.fault = [&](const FakeTelegram::Call& c) -> std::optional<FakeTelegram::Fault> {
    if (c.method != "draft") return {};
    return FakeTelegram::Fault{FakeTelegram::error(Code::Rejected)};
  };
  open(1);
  box().grow(1, "text");
  world.run_for(Millis{3'000});
  EXPECT_THAT(telegram.texts(7), ElementsAre("text"));
  EXPECT_EQ(telegram.count("draft"), 1);
}

TEST_F(OutboxTest, ARecoveredAnswerGoesOnInItsMessages) {
  telegram.messages[50] = {7, {.chat_id = 7, .text = "half of the ans"}, false};
  telegram.messages[51] = {7, {.chat_id = 7, .text = "of an attempt"}, false};
  box().open(AnswerSlot{.turn_id = 1,
                        .chat = {7, 0},
                        .parts = {{.outbox_id = 11, .part = 2, .message_id = 51},
                                  {.outbox_id = 10, .part = 1, .message_id = 50}},
                        .recovered = true});
  box().finish(1, {.text = "half of the answer"});
  until_idle();
  EXPECT_THAT(telegram.texts(7), ElementsAre("half of the answer"));
  EXPECT_EQ(telegram.count("send"), 0);
}

TEST_F(OutboxTest, TypingGivesWayAndExpires) {
  box().typing({7, 0});
  world.run_for(Millis{100});
  EXPECT_EQ(telegram.count("typing"), 1);
  for (int i = 0; i < 10; ++i)
    box().typing({7, 0});
  open(1);
  world.run_for(Millis{100});
  EXPECT_THAT(telegram.texts(7), ElementsAre("…"));
  world.run_for(Millis{10'000});
  EXPECT_EQ(telegram.count("typing"), 1);
  box().typing({7, 0});
  box().typing({7, 3});
  world.run_for(Millis{100});
  EXPECT_EQ(telegram.count("typing"), 2)
      << "where a placeholder stands it says as much; in another topic none does";
}

TEST_F(OutboxTest, AStopButtonStandsUnderTheGrowingMessageAlone) {
  box().open(AnswerSlot{
      .turn_id = 1, .chat = {7, 0}, .parts = {{.outbox_id = 10}}, .keyboard = {{{"Stop", "stop:1"}}}});
  box().grow(1, words(900));
  world.run_for(Millis{15'000});
  ASSERT_GE(telegram.messages.size(), 2u);
  EXPECT_TRUE(telegram.messages.begin()->second.out.keyboard.empty());
  EXPECT_TRUE(std::next(telegram.messages.begin())->second.out.keyboard.empty());
  EXPECT_EQ(telegram.messages.rbegin()->second.out.keyboard.size(), 1u);
  box().finish(1, {.text = words(900)});
  until_idle();
  EXPECT_TRUE(telegram.messages.rbegin()->second.out.keyboard.empty());
}

TEST_F(OutboxTest, StopEndsAllCallsAndEvents) {
  open(1);
  box().finish(1, {.text = "x"});
  box().stop();
  world.run_for(Millis{60'000});
  EXPECT_EQ(telegram.calls.size(), 1u);
  EXPECT_TRUE(delivered.empty());
}

TEST_F(OutboxTest, TellsItsLoadAndWhenItIsIdle) {
  bool idle = false;
  telegram.latency = Millis{2'000};
  open(1);
  box().finish(1, {.text = "x"});
  box().when_idle([&] { idle = true; });
  world.run_for(Millis{1'500});
  EXPECT_EQ(box().load().queue, 1u);
  EXPECT_EQ(box().load().in_flight, 1u);
  EXPECT_EQ(box().load().oldest_wait, Millis{1'500});
  EXPECT_FALSE(idle);
  until_idle();
  EXPECT_TRUE(idle);
  EXPECT_EQ(box().load().queue, 0u);
}

TEST_F(OutboxTest, AQuestionWaitsUntilItsFirstWordIsSeen) {
  open(1);
  world.run_for(Millis{40'000});  // its placeholder stands there; it waits for a worker
  EXPECT_EQ(box().load().queue, 0u);
  EXPECT_EQ(box().load().oldest_wait, Millis{40'000});
  box().grow(1, "The first words of it. ");
  world.run_for(Millis{20'000});
  EXPECT_EQ(box().load().oldest_wait, Millis{0});  // it is being read while it grows
  telegram.latency = Millis{3'000};
  box().finish(1, {.text = "The first words of it. And the last."});
  world.run_for(Millis{2'000});
  EXPECT_EQ(box().load().oldest_wait, Millis{2'000});
  until_idle();
  EXPECT_EQ(box().load().oldest_wait, Millis{0});
}

TEST_F(OutboxTest, AnAnswerThatCameAtOnceHasWaitedSinceItWasAsked) {
  open(1);
  world.run_for(Millis{30'000});
  telegram.latency = Millis{3'000};
  box().finish(1, {.text = "x"});
  world.run_for(Millis{2'000});
  EXPECT_EQ(box().load().oldest_wait, Millis{32'000});
  until_idle();
}

TEST_F(OutboxTest, InABurstOfFinishedAnswersEachIsShownRightAfterItsPlaceholder) {
  for (int c = 1; c <= 500; ++c) {
    open(c, c);
    box().finish(c, {.text = "answer"});
  }
  ASSERT_TRUE(world.run_until([&] { return telegram.calls.size() >= 200; }, Millis{60'000}));
  EXPECT_GE(telegram.count("edit"), 80)
      << "nobody looks at a placeholder while hundreds of others get theirs";
  until_idle();
  EXPECT_EQ(delivered.size(), 500u);
}

TEST_F(OutboxTest, ABurstOfAThousandChatsKeepsEveryLimitAndTheOrder) {
  for (int c = 1; c <= 1000; ++c) {
    const std::int64_t chat = c % 5 == 0 ? -c : c;
    open(c, chat);
    open(c + 5000, chat);
    box().reply({chat, 0}, 100'000 + c, {.text = "note"});
    box().grow(c, "begun");
  }
  world.run_for(Millis{20'000});
  for (int c = 1; c <= 1000; ++c) {
    box().finish(c, {.text = "answer one"});
    box().finish(c + 5000, {.text = "answer two"});
  }
  until_idle();
  for (int c = 1; c <= 1000; ++c) {
    EXPECT_THAT(telegram.texts(c % 5 == 0 ? -c : c), ElementsAre("answer one", "answer two", "note"));
  }
  EXPECT_THAT(telegram.broken, IsEmpty());
  EXPECT_EQ(box().load().rate_limited, 0u);
  EXPECT_LE(telegram.most_in_flight, 64);
  EXPECT_LT(world.now(), Millis{300'000}) << "5,000 calls at nearly 30 a second";
}

TEST_F(OutboxTest, ABurstOfTenThousandChatsKeepsEveryLimitAndLeavesNothingBehind) {
  const auto chat_of = [](int c) -> std::int64_t { return c % 20 == 0 ? -c : c; };
  int turn = 0;
  for (int c = 1; c <= 10'000; ++c) {
    for (int i = 0; i < (chat_of(c) < 0 ? 5 : 1); ++i)
      open(++turn, chat_of(c));
  }
  EXPECT_EQ(box().load().chats, 10'000u);
  world.run_for(Millis{10'000});
  while (turn > 0)
    box().finish(turn--, {.text = "answer"});
  std::size_t most_paced = 0;
  while (!box().idle() && world.now() < Millis{3'600'000}) {
    world.run_for(Millis{5'000});
    most_paced = std::max(most_paced, box().load().paced);
  }
  EXPECT_THAT(telegram.broken, IsEmpty());
  EXPECT_EQ(box().load().rate_limited, 0u);
  EXPECT_EQ(delivered.size(), 12'000u);
  EXPECT_EQ(telegram.messages.size(), 12'000u) << "each answer once";
  EXPECT_LT(world.now(), Millis{960'000}) << "24,000 calls at 26 a second and more";

  EXPECT_EQ(box().load().chats, 0u);
  EXPECT_LT(most_paced, 3'000u) << "only chats whose limits are in use are remembered";
  world.run_for(Millis{60'000});
  box().answer_press("p", "");
  open(20'000, 20'000);
  EXPECT_EQ(box().load().paced, 1u);
}

TEST_F(OutboxTest, WhateverFailsEveryAnswerIsShownOnceAndRepliesKeepTheirOrder) {
  std::mt19937_64 random(11);
  const auto one_in = [&](int n) { return random() % static_cast<unsigned>(n) == 0; };
  bool calm = false;
  telegram.fault = [&](const FakeTelegram::Call&) -> std::optional<FakeTelegram::Fault> {
    if (calm || !one_in(5)) return {};
    switch (random() % 5) {
      case 0:
        return FakeTelegram::Fault{FakeTelegram::too_many(Millis{1'000 * (1 + random() % 5)})};
      case 1:
        return FakeTelegram::Fault{FakeTelegram::no_answer(), one_in(2)};
      case 2:
        return FakeTelegram::Fault{FakeTelegram::no_answer(Code::Network, true)};
      case 3:
        return FakeTelegram::Fault{FakeTelegram::error(Code::Overloaded, telegram::Refusal::Other, 502)};
      default:
        return FakeTelegram::Fault{FakeTelegram::error(Code::Malformed, telegram::Refusal::Other, 200), true};
    }
  };
  constexpr int kTurns = 120;
  std::map<int, std::string> wanted;
  for (int t = 1; t <= kTurns; ++t) {
    open(t, 1 + t % 40);
    wanted[t] = "answer-" + std::to_string(t) + " **" + words(static_cast<int>(random() % 900)) + "end**";
  }
  for (int round = 0; round < 300; ++round) {
    world.run_for(Millis{random() % 400});
    if (one_in(10)) store.failures = 2;
    const int t = 1 + static_cast<int>(random() % kTurns);
    if (one_in(6))
      box().restart(t);
    else
      box().replace(t, wanted[t].substr(0, random() % wanted[t].size()));
  }
  for (int t = 1; t <= kTurns; ++t)
    box().finish(t, {.text = wanted[t]});
  world.run_for(Millis{300'000});
  calm = true;
  until_idle();
  EXPECT_EQ(delivered.size(), static_cast<std::size_t>(kTurns));
  for (int t = 1; t <= kTurns; ++t) {
    int shown = 0;
    std::string joined;
    for (const std::string& text : telegram.texts(1 + t % 40)) {
      if (text.starts_with("answer-" + std::to_string(t) + " ")) ++shown;
    }
    EXPECT_EQ(shown, 1) << t;
    EXPECT_EQ(store.delivered.at(t), "");
  }
}

TEST_F(OutboxTest, WithoutLimitsNothingWaits) {
  config.limits = {0, 0, 0};
  telegram.enforce = false;
  telegram.latency = Millis{1};
  for (int c = 1; c <= 1000; ++c) {
    open(c, c);
    box().finish(c, {.text = "answer"});
  }
  until_idle();
  EXPECT_LT(world.now(), Millis{200});
  EXPECT_EQ(delivered.size(), 1000u);
}

}  // namespace
}  // namespace katana::gateway
