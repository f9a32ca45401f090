#include "gateway/chat/chat.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

const Wall kNow = from_unix(1'790'000'000);

Offer offer(bool claude = true, bool openai = true) {
  Offer o{.bot_username = "katana_bot", .bot_user_id = 42, .claude = claude, .openai = openai};
  o.default_provider = claude ? "claude" : "openai";
  o.default_claude_model = "claude-a";
  o.default_openai_model = "gpt-a";
  o.models.models = {{.id = "claude-a", .provider = "claude", .label = "Claude A"},
                     {.id = "claude-b", .provider = "claude", .label = "Claude B"},
                     {.id = "gpt-a", .provider = "openai", .label = "GPT A"}};
  return o;
}

IncomingMessage private_message(std::string text) {
  return {
      .chat = {5, 0}, .kind = ChatKind::Private, .message_id = 9, .from = {.id = 5}, .text = std::move(text)};
}
IncomingMessage group_message(std::string text) {
  return {
      .chat = {-7, 0}, .kind = ChatKind::Group, .message_id = 9, .from = {.id = 5}, .text = std::move(text)};
}
IncomingMessage command(IncomingMessage m, std::string name, std::string arguments = {}) {
  m.command = std::move(name);
  m.arguments = std::move(arguments);
  return m;
}

struct ChatTest : testing::Test {
  Offer bot = offer();
  Access access{config::Access::Pairing, {5}, {}};
  Chat chat{bot, access};

  Decision decide(decltype(Update::body) body, ChatChoice choice = {}) {
    return chat.decide(Update{.update_id = 1, .body = std::move(body)}, choice, kNow);
  }
  std::string reply(decltype(Update::body) body, ChatChoice choice = {}) {
    const auto d = decide(std::move(body), choice);
    return d.intake.replies.size() == 1 ? d.intake.replies[0].text : std::string();
  }
};

TEST_F(ChatTest, TextInPrivateIsAQuestion) {
  const auto d = decide(private_message("  Why is the sky blue? "));
  ASSERT_TRUE(d.intake.prompt);
  EXPECT_EQ(d.intake.prompt->text, "Why is the sky blue?");
  EXPECT_FALSE(d.intake.prompt->group);
  EXPECT_TRUE(d.intake.replies.empty());
}

TEST_F(ChatTest, TelegramsOwnWordsAreNotAnswered) {
  auto pinned = private_message("");
  EXPECT_FALSE(decide(pinned).intake.replies.empty()) << "a sticker is";
  pinned.service = true;
  EXPECT_TRUE(decide(pinned).intake.replies.empty());
  EXPECT_EQ(decide(pinned).ignored, "service_message");
  pinned.from.id = 66;
  EXPECT_FALSE(decide(pinned).knocked) << "nor is a stranger let knock by them";
}

TEST_F(ChatTest, AGroupThatMovedIsFollowedWhicheverChatTellsOfIt) {
  IncomingMessage told;
  told.kind = ChatKind::Group;
  told.service = true;
  told.chat = {-5, 0};
  told.moved_to = -1005;
  for (int i = 0; i < 2; ++i) {
    const auto d = decide(told);
    EXPECT_EQ(d.intake.moved_from, -5);
    EXPECT_EQ(d.intake.chat, (ChatKey{-1005, 0}));
    EXPECT_TRUE(d.intake.replies.empty());
    told.chat = {-1005, 0};
    told.moved_to = 0;
    told.moved_from = -5;
  }
}

TEST_F(ChatTest, AnOldQuestionWaitsForItsAskersWord) {
  bot.max_age = Seconds{3600};
  auto late = private_message("Why?");
  late.age = Seconds{3600};
  EXPECT_FALSE(decide(late).intake.prompt->held);
  late.age = Seconds{3601};
  const auto d = decide(late);
  EXPECT_TRUE(d.intake.prompt->held);
  ASSERT_TRUE(d.intake.held_note);
  ASSERT_EQ(d.intake.held_note->keyboard.size(), 1U);
  const ButtonPress press{
      .id = "p", .from = {.id = 5}, .chat = {5, 0}, .data = d.intake.held_note->keyboard[0][0].data};
  EXPECT_TRUE(decide(press).intake.release_held);
  auto stranger = press;
  stranger.from.id = 99;
  EXPECT_FALSE(decide(stranger).intake.release_held);
}

TEST_F(ChatTest, ACommandIsObeyedHoweverOld) {
  bot.max_age = Seconds{3600};
  auto old = command(private_message("/new"), "new");
  old.age = Seconds{86400};
  EXPECT_TRUE(decide(old).intake.change->start_over);
}

TEST_F(ChatTest, StartNamesWhoAnswersHere) {
  const auto start = command(private_message("/start"), "start");
  EXPECT_TRUE(chat.needs_choice(Update{.update_id = 1, .body = start}));
  EXPECT_NE(reply(start, {"openai", ""}).find("OpenAI answers"), std::string::npos);
}

TEST_F(ChatTest, AGroupIsHeardOnlyWhenItSpeaksToUs) {
  const auto other = decide(group_message("just talk"));
  EXPECT_FALSE(other.intake.prompt);
  EXPECT_TRUE(other.intake.replies.empty());
  EXPECT_EQ(other.ignored, "not_addressed");

  auto mention = group_message("@Katana_Bot hello");
  mention.mentions = {"Katana_Bot"};
  EXPECT_TRUE(decide(mention).intake.prompt);

  auto answer = group_message("and then?");
  answer.reply_to_user = 42;
  const auto d = decide(answer);
  ASSERT_TRUE(d.intake.prompt);
  EXPECT_TRUE(d.intake.prompt->group);

  auto foreign = command(group_message("/help@other_bot"), "help");
  foreign.command_target = "other_bot";
  EXPECT_EQ(decide(foreign).ignored, "not_addressed");
}

TEST_F(ChatTest, StrangersGetACodeInPrivateAndSilenceInGroups) {
  auto m = private_message("let me in");
  m.from.id = 66;
  const auto d = decide(m);
  EXPECT_FALSE(d.intake.prompt);
  ASSERT_TRUE(d.knocked);
  ASSERT_EQ(d.intake.replies.size(), 1u);
  EXPECT_NE(d.intake.replies[0].text.find("katana allow"), std::string::npos);
  auto g = group_message("@katana_bot");
  g.from.id = 67;
  g.mentions = {"katana_bot"};
  EXPECT_TRUE(decide(g).intake.replies.empty());
}

TEST_F(ChatTest, IdAnswersAnybody) {
  auto m = command(private_message("/id"), "id");
  m.from.id = 66;
  m.chat.thread_id = 3;
  EXPECT_EQ(reply(m), "User: 66\nChat: 5\nTopic: 3");
}

TEST_F(ChatTest, CommandsChangeTheConversation) {
  const auto fresh = decide(command(private_message("/new"), "new"));
  EXPECT_TRUE(fresh.intake.change->start_over);
  const auto openai = decide(command(private_message("/openai"), "openai"));
  EXPECT_EQ(openai.intake.change->provider, "openai");
  EXPECT_EQ(openai.intake.change->model, "");
  EXPECT_EQ(openai.intake.replies[0].text, "OpenAI answers from now on (GPT A).");
  const auto model = decide(command(private_message("/model claude-b"), "model", "claude-b"));
  EXPECT_EQ(model.intake.change->provider, "claude");
  EXPECT_EQ(model.intake.change->model, "claude-b");
  EXPECT_TRUE(decide(command(private_message("/stop"), "stop")).stop_answer);
}

TEST_F(ChatTest, ModelShowsWhatIsChosenAndAPressChooses) {
  const Update asks{.update_id = 1, .body = command(private_message("/model"), "model")};
  EXPECT_TRUE(chat.needs_choice(asks));
  const auto d = decide(asks.body, {"claude", "claude-b"});
  const auto& keyboard = d.intake.replies.at(0).keyboard;
  ASSERT_EQ(keyboard.size(), 3u);
  EXPECT_EQ(keyboard[1][0].text, "✓ Claude B");
  const auto press =
      decide(ButtonPress{.id = "q", .from = {.id = 5}, .chat = {5, 0}, .data = keyboard[2][0].data});
  EXPECT_EQ(press.intake.change->model, "gpt-a");
  EXPECT_EQ(press.press_id, "q");
  const auto stranger =
      decide(ButtonPress{.id = "q", .from = {.id = 66}, .chat = {5, 0}, .data = "model:gpt-a"});
  EXPECT_FALSE(stranger.intake.change);
  EXPECT_TRUE(stranger.press_id) << "its spinner ends all the same";
}

TEST_F(ChatTest, ALongTableOfModelsIsCutToWhatTelegramTakes) {
  bot.models.models.push_back({.id = std::string(58, 'a'), .provider = "claude", .label = "Long"});
  bot.models.models.push_back({.id = std::string(59, 'b'), .provider = "claude", .label = "Too long"});
  const auto d = decide(command(private_message("/model"), "model"));
  EXPECT_EQ(d.intake.replies.at(0).keyboard.size(), 4u);
  EXPECT_NE(d.intake.replies[0].text.find("write /model"), std::string::npos);
  EXPECT_EQ(decide(command(private_message("/model"), "model", std::string(59, 'b'))).intake.change->model,
            std::string(59, 'b'));
  for (int i = 0; i < 200; ++i)
    bot.models.models.push_back({.id = "m" + std::to_string(i), .provider = "claude", .label = "M"});
  EXPECT_EQ(decide(command(private_message("/model"), "model")).intake.replies.at(0).keyboard.size(), 100u);
}

TEST_F(ChatTest, AButtonAsksForAMessageAgain) {
  EXPECT_EQ(decide(ButtonPress{.id = "q", .from = {.id = 5}, .chat = {5, 0}, .data = "again:17"}).send_again,
            17);
  for (const char* data : {"again:", "again:x", "again:1x", "again:99999999999999999999"}) {
    EXPECT_FALSE(decide(ButtonPress{.id = "q", .from = {.id = 5}, .chat = {5, 0}, .data = data}).send_again)
        << data;
  }
}

TEST_F(ChatTest, WhatIsNotThereIsNotOffered) {
  bot = offer(true, false);
  EXPECT_NE(reply(command(private_message("/openai"), "openai")).find("isn't set up"), std::string::npos);
  EXPECT_FALSE(decide(command(private_message("/openai"), "openai")).intake.change);
  EXPECT_EQ(reply(command(private_message("/help"), "help")).find("/openai"), std::string::npos);
  EXPECT_EQ(decide(command(private_message("/model"), "model")).intake.replies[0].keyboard.size(), 2u);
  EXPECT_EQ(bot.resolve({"openai", "gpt-a"}).provider, "claude") << "an old choice of a provider that is off";
  EXPECT_EQ(bot.resolve({"openai", "gpt-a"}).model, "claude-a");
}

TEST_F(ChatTest, SaysWhyItCantHelp) {
  EXPECT_NE(reply(private_message("")).find("text"), std::string::npos) << "a photo without a word";
  EXPECT_NE(reply(private_message(std::string(Chat::kMaxPrompt + 1, 'x'))).find("16384"), std::string::npos);
  EXPECT_NE(reply(command(private_message("/dance"), "dance")).find("/help"), std::string::npos);
  EXPECT_NE(reply(command(private_message("/model x"), "model", "x")).find("no model"), std::string::npos);
}

TEST_F(ChatTest, IgnoresBotsChannelsAndEdits) {
  auto bot_message = private_message("hi");
  bot_message.from.is_bot = true;
  EXPECT_EQ(decide(bot_message).ignored, "not_a_person");
  EXPECT_EQ(decide(EditedMessage{}).ignored, "edited");
  EXPECT_EQ(decide(UnknownUpdate{"poll", false}).ignored, "unknown_kind");
  const auto kicked = decide(MembershipChange{.chat = {5, 0}, .present = false});
  EXPECT_EQ(kicked.chat_gone->chat_id, 5);
}

}  // namespace
}  // namespace katana::gateway
