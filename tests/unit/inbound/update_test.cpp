#include "gateway/inbound/update.hpp"

#include <random>

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

std::string batch(const std::string& updates) {
  return R"({"ok":true,"result":[)" + updates + "]}";
}

const std::string kPrivate =
    R"({"update_id":7,"message":{"message_id":12,"from":{"id":1000,"is_bot":false,"language_code":"de"},)"
    R"("chat":{"id":1000,"type":"private"},"date":1790000000,"text":"Grüße 😀"}})";

const std::string kCommand =
    R"({"update_id":8,"message":{"message_id":13,"from":{"id":1000,"is_bot":false},"chat":{"id":-5,"type":"supergroup"},)"
    R"("is_topic_message":true,"message_thread_id":44,"date":1790000001,"text":"/Model@Katana_bot  gpt-5.5 ",)"
    R"("entities":[{"type":"bot_command","offset":0,"length":17}],)"
    R"("reply_to_message":{"message_id":1,"from":{"id":42,"is_bot":true},"chat":{"id":-5,"type":"supergroup"},"date":1}}})";

TEST(UpdateParser, ReadsAPrivateMessage) {
  UpdateParser parser;
  const auto updates = parser.parse_batch(batch(kPrivate));
  ASSERT_TRUE(updates) << updates.error().detail;
  ASSERT_EQ(updates->size(), 1u);
  EXPECT_EQ((*updates)[0].update_id, 7);
  const auto& m = std::get<IncomingMessage>((*updates)[0].body);
  EXPECT_EQ(m.chat, (ChatKey{1000, 0}));
  EXPECT_EQ(m.kind, ChatKind::Private);
  EXPECT_EQ(m.from.id, 1000);
  EXPECT_EQ(m.from.language, "de");
  EXPECT_EQ(m.text, "Grüße 😀");
  EXPECT_EQ(m.date, from_unix(1'790'000'000));
  EXPECT_TRUE(m.command.empty());
}

TEST(UpdateParser, ReadsACommandWithItsTargetTopicAndReply) {
  UpdateParser parser;
  const auto updates = parser.parse_batch(batch(kPrivate + "," + kCommand));
  ASSERT_TRUE(updates);
  const auto& m = std::get<IncomingMessage>((*updates)[1].body);
  EXPECT_EQ(m.chat, (ChatKey{-5, 44}));
  EXPECT_EQ(m.command, "model");
  EXPECT_EQ(m.command_target, "Katana_bot");
  EXPECT_EQ(m.arguments, "gpt-5.5");
  EXPECT_EQ(m.reply_to_user, 42);
}

TEST(UpdateParser, TellsTelegramsOwnMessagesFromPeoples) {
  UpdateParser parser;
  const auto service = [&](const std::string& more) {
    const auto u = parser.parse_one(
        R"({"update_id":1,"message":{"message_id":1,"chat":{"id":5,"type":"private"},"date":1,)" + more +
        "}}");
    return std::get<IncomingMessage>(u->body).service;
  };
  EXPECT_TRUE(service(R"("pinned_message":{"message_id":1})"));
  EXPECT_TRUE(service(R"("chat_background_set":{})"));
  EXPECT_FALSE(service(R"("sticker":{})"));
  EXPECT_FALSE(service(R"("something_of_next_year":{})"));
  EXPECT_FALSE(service(R"("text":"hi")"));
}

TEST(UpdateParser, ReadsWhatAGroupBecame) {
  UpdateParser parser;
  const auto read = [&](const std::string& more) {
    const auto u = parser.parse_one(
        R"({"update_id":1,"message":{"message_id":1,"chat":{"id":-5,"type":"group"},"date":1,)" + more +
        "}}");
    return std::get<IncomingMessage>(u->body);
  };
  EXPECT_EQ(read(R"("migrate_to_chat_id":-1001234567890123)").moved_to, -1001234567890123);
  EXPECT_EQ(read(R"("migrate_from_chat_id":-7)").moved_from, -7);
  EXPECT_EQ(read(R"("text":"hi","migrate_to_chat_id":-7)").moved_to, 0) << "a person wrote this";
  EXPECT_EQ(read(R"("migrate_to_chat_id":"-7")").moved_to, 0);
}

TEST(UpdateParser, CountsEntityOffsetsInUtf16) {
  UpdateParser parser;
  const auto u = parser.parse_one(
      R"({"update_id":1,"message":{"message_id":1,"chat":{"id":-1,"type":"group"},"date":1,"text":"😀 @katana_bot hi",)"
      R"("entities":[{"type":"mention","offset":3,"length":11}]}})");
  ASSERT_TRUE(u);
  EXPECT_EQ(std::get<IncomingMessage>(u->body).mentions, std::vector<std::string>{"katana_bot"});
}

TEST(UpdateParser, SurvivesAbsurdEntities) {
  UpdateParser parser;
  for (const char* entity : {R"({"type":"bot_command","offset":0,"length":99999999})",
                             R"({"type":"bot_command","offset":-5,"length":3})",
                             R"({"type":"mention","offset":9007199254740993,"length":2})",
                             R"({"type":5,"offset":"x"})", "null", "[]"}) {
    const auto u = parser.parse_one(
        R"({"update_id":1,"message":{"message_id":1,"chat":{"id":-1,"type":"group"},"date":1,"text":"/a","entities":[)" +
        std::string(entity) + "]}}");
    ASSERT_TRUE(u) << entity;
  }
}

TEST(UpdateParser, ReadsTheOtherKinds) {
  UpdateParser parser;
  const auto updates = parser.parse_batch(batch(
      R"({"update_id":1,"callback_query":{"id":"q1","from":{"id":5},"data":"model:x","message":{"message_id":3,"chat":{"id":5,"type":"private"}}}},)"
      R"({"update_id":2,"my_chat_member":{"chat":{"id":9,"type":"private"},"new_chat_member":{"status":"kicked"}}},)"
      R"({"update_id":3,"stopped_message_generation":{"chat":{"id":9,"type":"private"},"draft_id":77}},)"
      R"({"update_id":4,"edited_message":{"message_id":3}},)"
      R"({"update_id":5,"purchased_paid_media":{"from":{"id":1}}})"));
  ASSERT_TRUE(updates) << updates.error().detail;
  EXPECT_EQ(std::get<ButtonPress>((*updates)[0].body).data, "model:x");
  EXPECT_FALSE(std::get<MembershipChange>((*updates)[1].body).present);
  EXPECT_EQ(std::get<StopGeneration>((*updates)[2].body).draft_id, 77);
  EXPECT_TRUE(std::holds_alternative<EditedMessage>((*updates)[3].body));
  const auto& unknown = std::get<UnknownUpdate>((*updates)[4].body);
  EXPECT_EQ(unknown.what, "purchased_paid_media");
  EXPECT_FALSE(unknown.broken);
}

TEST(UpdateParser, OneBrokenUpdateLeavesItsBatchAlone) {
  UpdateParser parser;
  const auto updates = parser.parse_batch(
      batch(R"({"update_id":6,"message":{"message_id":"x"}},{"update_id":9},)" + kPrivate));
  ASSERT_TRUE(updates);
  EXPECT_TRUE(std::get<UnknownUpdate>((*updates)[0].body).broken);
  EXPECT_TRUE(std::get<UnknownUpdate>((*updates)[1].body).broken);
  EXPECT_TRUE(std::holds_alternative<IncomingMessage>((*updates)[2].body));
}

TEST(UpdateParser, SaysWhatIsWrongWithABatch) {
  UpdateParser parser;
  EXPECT_EQ(parser.parse_batch(R"({"ok":true})").error().detail,
            "answer of getUpdates has no array `result`");
  EXPECT_EQ(parser.parse_batch(batch("{}")).error().detail, "update 0 of the batch has no update_id");
  EXPECT_EQ(parser.parse_batch(batch(kPrivate + ",7")).error().detail,
            "update 1 of the batch is not an object");
  EXPECT_EQ(parser.parse_batch("<html>").error().code, Code::Malformed);
  EXPECT_EQ(parser.parse_batch(std::string((32 << 20) + 1, ' ')).error().detail,
            "answer of getUpdates is over 32 MiB");
}

TEST(UpdateParser, TakesAHundredOfTheLongestMessages) {
  UpdateParser parser;
  std::string text;
  for (int i = 0; i < 4096; ++i)
    text += R"(\u00e4)";
  const std::string message = R"("message_id":7,"date":1,"chat":{"id":5,"type":"private"},"text":")" + text +
                              R"(","quote":{"text":")" + text + R"("})";
  std::string all;
  for (int i = 1; i <= 100; ++i) {
    all += (i > 1 ? "," : "") + std::string(R"({"update_id":)") + std::to_string(i) + R"(,"message":{)" +
           message + R"(,"reply_to_message":{)" + message + "}}}";
  }
  ASSERT_GT(all.size(), 8U << 20);
  const auto updates = parser.parse_batch(batch(all));
  ASSERT_TRUE(updates) << updates.error().detail;
  EXPECT_EQ(updates->size(), 100U);
}

TEST(UpdateParser, NeverCrashesOnTruncationOrMutation) {
  UpdateParser parser;
  const std::string whole = batch(kPrivate + "," + kCommand);
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(parser.parse_batch(whole.substr(0, n)));
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole;
    for (int k = 0; k < 3; ++k)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto result = parser.parse_batch(bytes);
    if (!result) {
      EXPECT_EQ(result.error().code, Code::Malformed);
    }
  }
  EXPECT_TRUE(parser.parse_batch(whole)) << "the parser still works after all that";
}

}  // namespace
}  // namespace katana::gateway
