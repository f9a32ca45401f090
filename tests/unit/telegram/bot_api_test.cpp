#include "common/telegram/bot_api.hpp"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/telegram/answers.hpp"
#include "common/telegram/requests.hpp"

namespace katana::telegram {
namespace {

using testing::HasSubstr;
using testing::Not;

// ---- bodies ----

TEST(Requests, SendMessageCarriesAllOfIt) {
  OutText m;
  m.chat_id = -1001234567890;
  m.thread_id = 7;
  m.reply_to = 42;
  m.text = "a \"quoted\" \\ line\nnext\ttab \x01 ü 😀";
  m.entities = {{"bold", 0, 1}, {"text_link", 2, 8, "https://x.example/?a=\"b\""}, {"pre", 11, 4, "", "c++"}};
  m.keyboard = {{{"Stop", "stop:1"}, {"Docs", "", "https://x.example"}}};
  m.silent = true;
  EXPECT_EQ(send_message_body(m),
            "{\"chat_id\":-1001234567890,\"message_thread_id\":7,"
            "\"text\":\"a \\\"quoted\\\" \\\\ line\\nnext\\ttab \\u0001 ü 😀\","
            "\"entities\":[{\"type\":\"bold\",\"offset\":0,\"length\":1},"
            "{\"type\":\"text_link\",\"offset\":2,\"length\":8,\"url\":\"https://x.example/?a=\\\"b\\\"\"},"
            "{\"type\":\"pre\",\"offset\":11,\"length\":4,\"language\":\"c++\"}],"
            "\"link_preview_options\":{\"is_disabled\":true},"
            "\"reply_parameters\":{\"message_id\":42,\"allow_sending_without_reply\":true},"
            "\"disable_notification\":true,"
            "\"reply_markup\":{\"inline_keyboard\":[[{\"text\":\"Stop\",\"callback_data\":\"stop:1\"},"
            "{\"text\":\"Docs\",\"url\":\"https://x.example\"}]]}}");
}

TEST(Requests, WhatIsNotSetIsLeftOut) {
  OutText m;
  m.chat_id = 5;
  m.text = "hi";
  EXPECT_EQ(send_message_body(m), R"({"chat_id":5,"text":"hi","link_preview_options":{"is_disabled":true}})");
  EXPECT_EQ(edit_message_body(9, m),
            R"({"chat_id":5,"message_id":9,"text":"hi","link_preview_options":{"is_disabled":true}})");
  EXPECT_EQ(send_draft_body(3, m), R"({"chat_id":5,"draft_id":3,"text":"hi","can_stop":true})");
  EXPECT_EQ(typing_body(5, 0), R"({"chat_id":5,"action":"typing"})");
  EXPECT_EQ(delete_message_body(5, 6), R"({"chat_id":5,"message_id":6})");
}

TEST(Requests, BytesThatAreNoUtf8AreMended) {
  OutText m;
  m.chat_id = 5;
  m.text =
      "a\xFF"
      "b\xE2\x82";
  EXPECT_THAT(send_message_body(m), HasSubstr("\"text\":\"a\xEF\xBF\xBD"
                                              "b\xEF\xBF\xBD"));
}

TEST(Requests, GetUpdatesNamesEveryKind) {
  EXPECT_EQ(get_updates_body(11, 100, Seconds{50}),
            R"({"offset":11,"limit":100,"timeout":50,"allowed_updates":["message","edited_message",)"
            R"("callback_query","my_chat_member","stopped_message_generation"]})");
}

TEST(Requests, TheOthers) {
  EXPECT_EQ(answer_callback_body("77", ""), R"({"callback_query_id":"77"})");
  EXPECT_EQ(answer_callback_body("77", "ok"), R"({"callback_query_id":"77","text":"ok"})");
  EXPECT_LE(answer_callback_body("77", std::string(500, 'x')).size(), 300u);
  EXPECT_EQ(
      commands_body({{"new", "Start over"}, {"id", "Ids"}}),
      R"({"commands":[{"command":"new","description":"Start over"},{"command":"id","description":"Ids"}]})");
  EXPECT_EQ(commands_body({}), R"({"commands":[]})");
  EXPECT_THAT(webhook_body("https://x.example/h", Secret("s3")),
              HasSubstr(R"("url":"https://x.example/h","secret_token":"s3","allowed_updates":["message")"));
}

// ---- answers ----

net::HttpResponse http(int status, std::string body,
                       std::vector<std::pair<std::string, std::string>> headers = {}) {
  return {{status, std::move(headers)}, std::move(body)};
}

net::HttpResponse refusal(int code, const std::string& description, const std::string& parameters = "{}") {
  return http(code, "{\"ok\":false,\"error_code\":" + std::to_string(code) + ",\"description\":\"" +
                        description + "\",\"parameters\":" + parameters + "}");
}

TEST(Answers, GoodOnesAreRead) {
  EXPECT_EQ(read_message_id(http(200, R"({"ok":true,"result":{"message_id":17,"chat":{"id":1}}})")).value(),
            17);
  EXPECT_TRUE(read_done(http(200, R"({"ok":true,"result":true})")).value());
  EXPECT_EQ(read_pending(http(200, R"({"ok":true,"result":{"url":"","pending_update_count":3}})")).value(),
            3);
  const auto me =
      read_user(http(200, R"({"ok":true,"result":{"id":8000000001,"is_bot":true,"first_name":"Kä",)"
                          R"("username":"k_bot","can_read_all_group_messages":true}})"));
  ASSERT_TRUE(me);
  EXPECT_EQ(me->id, 8000000001);
  EXPECT_EQ(me->username, "k_bot");
  EXPECT_EQ(me->first_name, "Kä");
  EXPECT_TRUE(me->can_read_all_group_messages);
  const std::string updates = R"({"ok":true,"result":[{"update_id":1}]})";
  EXPECT_EQ(read_updates(http(200, updates)).value().json, updates);
  const std::string spaced = R"({ "result": [], "ok": true })";
  EXPECT_EQ(read_updates(http(200, spaced)).value().json, spaced);
}

TEST(Answers, UpdatesTellWhatTelegramsClockSays) {
  const auto told = [](std::string date) {
    auto answer = http(200, R"({"ok":true,"result":[]})");
    if (!date.empty()) answer.head.headers.emplace_back("date", std::move(date));
    return read_updates(answer).value().told_at;
  };
  EXPECT_EQ(told("Sun, 06 Nov 1994 08:49:37 GMT"), from_unix(784'111'777));
  EXPECT_EQ(told(""), std::nullopt);
  EXPECT_EQ(told("Sun, 06 Nov 1994 08:49:37 GMT+1"), std::nullopt);
  EXPECT_EQ(told("yesterday"), std::nullopt);
}

TEST(Answers, EveryPrefixOfAGoodOneIsMalformed) {
  const std::string whole = R"({"ok":true,"result":{"message_id":17}})";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto result = read_message_id(http(200, whole.substr(0, n)));
    ASSERT_FALSE(result) << n;
    EXPECT_EQ(result.error().error.code, Code::Malformed) << n;
    EXPECT_EQ(result.error().http_status, 200);
  }
}

TEST(Answers, MissingOrWrongFieldsAreMalformed) {
  for (const char* body :
       {"[]", "null", "42", "{}", R"({"ok":"yes"})", R"({"ok":true})", R"({"ok":true,"result":[]})",
        R"({"ok":true,"result":{}})", R"({"ok":true,"result":{"message_id":"17"}})",
        R"({"ok":true,"result":{"message_id":1.5}})", "<html>hello</html>", "\xFF\xFE"}) {
    const auto result = read_message_id(http(200, body));
    ASSERT_FALSE(result) << body;
    EXPECT_EQ(result.error().error.code, Code::Malformed) << body;
  }
  EXPECT_FALSE(read_updates(http(200, R"({"ok":true})")));
}

TEST(Answers, WhatIsNotTelegramsIsJudgedByItsStatus) {
  EXPECT_EQ(read_done(http(502, "<html>Bad Gateway</html>")).error().error.code, Code::Overloaded);
  EXPECT_EQ(read_done(http(404, "nothing here")).error().error.code, Code::Malformed);
  const auto limited = read_done(http(429, "slow down", {{"retry-after", "7"}}));
  EXPECT_EQ(limited.error().error.code, Code::RateLimited);
  EXPECT_EQ(limited.error().error.retry_after, Millis{7000});
}

TEST(Answers, RefusalsMeanWhatTheyMean) {
  struct Case {
    int code;
    const char* description;
    Refusal refusal;
    Code error;
  };
  for (
      const auto& c : std::vector<Case>{
          {400,
           "Bad Request: message is not modified: specified new message content and reply markup are exactly "
           "the same",
           Refusal::NotModified, Code::Rejected},
          {400, "Bad Request: message to edit not found", Refusal::MessageGone, Code::Rejected},
          {400, "Bad Request: message to delete not found", Refusal::MessageGone, Code::Rejected},
          {400, "Bad Request: message can't be edited", Refusal::MessageGone, Code::Rejected},
          {400, "Bad Request: MESSAGE_ID_INVALID", Refusal::MessageGone, Code::Rejected},
          {400, "Bad Request: chat not found", Refusal::ChatGone, Code::Rejected},
          {400, "Bad Request: not enough rights to send text messages to the chat", Refusal::ChatGone,
           Code::Rejected},
          // One topic's end isn't that of its group.
          {400, "Bad Request: message thread not found", Refusal::Other, Code::Rejected},
          {400, "Bad Request: TOPIC_CLOSED", Refusal::Other, Code::Rejected},
          {400, "Bad Request: TOPIC_DELETED", Refusal::Other, Code::Rejected},
          {403, "Forbidden: bot was blocked by the user", Refusal::ChatGone, Code::Rejected},
          {403, "Forbidden: bot was kicked from the group chat", Refusal::ChatGone, Code::Rejected},
          {400, "Bad Request: can't parse entities: Unsupported start tag", Refusal::BadFormatting,
           Code::Rejected},
          {400, "Bad Request: ENTITY_BOUNDS_INVALID", Refusal::BadFormatting, Code::Rejected},
          {400, "Bad Request: can't parse reply keyboard markup JSON object", Refusal::Other, Code::Rejected},
          {400, "Bad Request: message text is empty", Refusal::Other, Code::Rejected},
          {401, "Unauthorized", Refusal::Other, Code::Auth},
          {404, "Not Found", Refusal::Other, Code::Auth},
          {404, "Not Found: method not found", Refusal::Other, Code::Rejected},
          {409, "Conflict: terminated by other getUpdates request", Refusal::Conflict, Code::Overloaded},
          {413, "Request Entity Too Large", Refusal::Other, Code::Rejected},
          {500, "Internal Server Error: restart", Refusal::Other, Code::Overloaded},
      }) {
    const auto result = read_done(refusal(c.code, c.description));
    ASSERT_FALSE(result) << c.description;
    EXPECT_EQ(result.error().refusal, c.refusal) << c.description;
    EXPECT_EQ(result.error().error.code, c.error) << c.description;
    EXPECT_EQ(result.error().http_status, c.code);
    EXPECT_FALSE(result.error().webhook_active);
  }
}

TEST(Answers, ParametersAreRead) {
  const auto limited = read_done(refusal(429, "Too Many Requests: retry after 35", R"({"retry_after":35})"));
  EXPECT_EQ(limited.error().error.code, Code::RateLimited);
  EXPECT_EQ(limited.error().error.retry_after, Millis{35'000});
  const auto absurd = read_done(refusal(429, "x", R"({"retry_after":9223372036854775807})"));
  EXPECT_EQ(absurd.error().error.retry_after, Millis{24 * 3600 * 1000});
  const auto moved = read_done(refusal(400, "Bad Request: group chat was upgraded to a supergroup chat",
                                       R"({"migrate_to_chat_id":-100500})"));
  EXPECT_EQ(moved.error().refusal, Refusal::Migrated);
  EXPECT_EQ(moved.error().migrate_to, -100500);
  const auto hook = read_done(refusal(
      409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it"));
  EXPECT_EQ(hook.error().refusal, Refusal::Conflict);
  EXPECT_TRUE(hook.error().webhook_active);
  const auto odd = read_done(http(400, R"({"ok":false,"error_code":"x","description":5,"parameters":[1]})"));
  EXPECT_EQ(odd.error().error.code, Code::Rejected);
}

// ---- the calls ----

/// Stands in for HTTP: keeps the request, and lets the test answer it.
struct FakeHttp final : net::HttpClient {
  net::HttpCall start(net::HttpRequest r, net::HttpEvents e) override {
    request = std::move(r);
    events = std::move(e);
    return {};
  }
  net::HttpRequest request;
  net::HttpEvents events;
};

const std::string kToken = "1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456XYZ";

TEST(BotApi, AsksTheRightAddressInTheRightWay) {
  FakeHttp http;
  HttpBotApi api(http, {"https://api.telegram.org", Secret(kToken), Secret("socks5h://p:1")});
  std::optional<std::int64_t> id;
  auto call = api.send_message({5, 0, 0, "hi"}, [&](ApiResult<std::int64_t> r) { id = r.value(); });
  EXPECT_EQ(http.request.method, "POST");
  EXPECT_EQ(http.request.url, "https://api.telegram.org/bot" + kToken + "/sendMessage");
  EXPECT_THAT(http.request.headers, testing::ElementsAre("Content-Type: application/json"));
  EXPECT_EQ(http.request.proxy.reveal(), "socks5h://p:1");
  EXPECT_FALSE(http.request.allow_plain);
  EXPECT_EQ(http.request.total_timeout, Millis{30'000});
  http.events.on_done(net::HttpResponse{{200, {}}, R"({"ok":true,"result":{"message_id":9}})"});
  EXPECT_EQ(id, 9);
}

TEST(BotApi, APlainAddressIsAllowedBecauseAnOperatorSetIt) {
  FakeHttp http;
  HttpBotApi api(http, {"http://127.0.0.1:8081/", Secret(kToken), {}});
  auto call = api.delete_webhook([](auto) {});
  EXPECT_EQ(http.request.url, "http://127.0.0.1:8081/bot" + kToken + "/deleteWebhook");
  EXPECT_TRUE(http.request.allow_plain);
}

TEST(BotApi, APollThatNeverReturnsEndsAfterItsTime) {
  FakeHttp http;
  HttpBotApi api(http, {"https://api.telegram.org", Secret(kToken), {}});
  auto call = api.get_updates(1, 100, Seconds{50}, [](auto) {});
  EXPECT_EQ(http.request.total_timeout, Millis{65'000});
  EXPECT_EQ(http.request.stall_timeout, Millis{65'000});
}

TEST(BotApi, ErrorsSayWhichMethodAndNeverTheToken) {
  FakeHttp http;
  HttpBotApi api(http, {"https://api.telegram.org", Secret(kToken), {}});
  std::optional<ApiError> error;
  auto call = api.get_me([&](ApiResult<BotUser> r) { error = r.error(); });
  http.events.on_done(net::HttpResponse{
      {401, {}}, R"({"ok":false,"error_code":401,"description":"Unauthorized: )" + kToken + R"("})"});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error.detail, "getMe: 401: Unauthorized: 123...:XYZ");
  EXPECT_EQ(error->error.code, Code::Auth);
  auto again = api.get_me([&](ApiResult<BotUser> r) { error = r.error(); });
  http.events.on_done(fail(Error{Code::Network, "https://api.telegram.org: no route", {}, true}));
  EXPECT_EQ(error->error.detail, "getMe: https://api.telegram.org: no route");
  EXPECT_TRUE(error->error.never_left);
  EXPECT_EQ(error->http_status, 0);
}

TEST(BotApi, EveryMethodHasItsName) {
  FakeHttp http;
  HttpBotApi api(http, {"https://t", Secret("1:t"), {}});
  const auto ignore = [](auto) {};
  const auto name = [&] { return http.request.url.substr(http.request.url.rfind('/') + 1); };
  const OutText text{5, 0, 0, "hi"};
  std::vector<net::HttpCall> calls;
  std::vector<std::string> names;
  const auto did = [&](net::HttpCall call) {
    calls.push_back(std::move(call));
    names.push_back(name());
  };
  did(api.get_me(ignore));
  did(api.get_updates(0, 1, Seconds{1}, ignore));
  did(api.edit_message(1, text, ignore));
  did(api.delete_message(1, 2, ignore));
  did(api.send_draft(1, text, ignore));
  did(api.send_typing(1, 0, ignore));
  did(api.answer_callback("1", "", ignore));
  did(api.set_commands({}, ignore));
  did(api.set_webhook("https://x", Secret("s"), ignore));
  did(api.pending_updates(ignore));
  EXPECT_THAT(names, testing::ElementsAre("getMe", "getUpdates", "editMessageText", "deleteMessage",
                                          "sendMessageDraft", "sendChatAction", "answerCallbackQuery",
                                          "setMyCommands", "setWebhook", "getWebhookInfo"));
}

}  // namespace
}  // namespace katana::telegram
