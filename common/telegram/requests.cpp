#include "common/telegram/requests.hpp"

#include "common/core/json_writer.hpp"
#include "common/core/text.hpp"

namespace katana::telegram {
namespace {

/// Room for the names around a text: it saves growing the string.
constexpr std::size_t kAround = 256;

/// Every kind that the gateway handles. Telegram remembers the last list, so it is sent each time.
void allowed_updates(JsonWriter& json) {
  json.key("allowed_updates").begin_array();
  for (const char* kind :
       {"message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation"}) {
    json.value(kind);
  }
  json.end_array();
}

void address(JsonWriter& json, std::int64_t chat_id, std::int64_t thread_id) {
  json.key("chat_id").value(chat_id);
  if (thread_id != 0) json.key("message_thread_id").value(thread_id);
}

void entities(JsonWriter& json, const std::vector<Entity>& list) {
  if (list.empty()) return;
  json.key("entities").begin_array();
  for (const auto& e : list) {
    json.begin_object().key("type").value(e.type);
    json.key("offset").value(e.offset);
    json.key("length").value(e.length);
    if (!e.url.empty()) json.key("url").value(e.url);
    if (!e.language.empty()) json.key("language").value(e.language);
    json.end_object();
  }
  json.end_array();
}

void keyboard(JsonWriter& json, const Keyboard& rows) {
  if (rows.empty()) return;
  json.key("reply_markup").begin_object().key("inline_keyboard").begin_array();
  for (const auto& row : rows) {
    json.begin_array();
    for (const auto& button : row) {
      json.begin_object().key("text").value(button.text);
      if (button.url.empty()) {
        json.key("callback_data").value(button.data);
      } else {
        json.key("url").value(button.url);
      }
      json.end_object();
    }
    json.end_array();
  }
  json.end_array().end_object();
}

/// Text with its formatting. A preview of the first link in an answer would hide the rest of it.
void content(JsonWriter& json, const OutText& message) {
  json.key("text").value(message.text);
  entities(json, message.entities);
}

void no_preview(JsonWriter& json) {
  json.key("link_preview_options").begin_object().key("is_disabled").value(true).end_object();
}

std::size_t expected(const OutText& message) {
  return message.text.size() + message.text.size() / 8 + message.entities.size() * 64 + kAround;
}

}  // namespace

std::string get_updates_body(std::int64_t offset, int limit, Seconds timeout) {
  JsonWriter json(kAround);
  json.begin_object().key("offset").value(offset);
  json.key("limit").value(limit);
  json.key("timeout").value(timeout.count());
  allowed_updates(json);
  return json.end_object().take();
}

std::string send_message_body(const OutText& message) {
  JsonWriter json(expected(message));
  json.begin_object();
  address(json, message.chat_id, message.thread_id);
  content(json, message);
  no_preview(json);
  if (message.reply_to != 0) {
    json.key("reply_parameters").begin_object().key("message_id").value(message.reply_to);
    json.key("allow_sending_without_reply").value(true).end_object();
  }
  if (message.silent) json.key("disable_notification").value(true);
  keyboard(json, message.keyboard);
  return json.end_object().take();
}

/// Without a keyboard Telegram takes away the one that was there: the stop button goes with the last edit.
std::string edit_message_body(std::int64_t message_id, const OutText& message) {
  JsonWriter json(expected(message));
  json.begin_object().key("chat_id").value(message.chat_id);
  json.key("message_id").value(message_id);
  content(json, message);
  no_preview(json);
  keyboard(json, message.keyboard);
  return json.end_object().take();
}

std::string delete_message_body(std::int64_t chat_id, std::int64_t message_id) {
  JsonWriter json(kAround);
  json.begin_object().key("chat_id").value(chat_id).key("message_id").value(message_id);
  return json.end_object().take();
}

std::string send_draft_body(std::int64_t draft_id, const OutText& message) {
  JsonWriter json(expected(message));
  json.begin_object();
  address(json, message.chat_id, message.thread_id);
  json.key("draft_id").value(draft_id);
  content(json, message);
  json.key("can_stop").value(true);
  return json.end_object().take();
}

std::string typing_body(std::int64_t chat_id, std::int64_t thread_id) {
  JsonWriter json(kAround);
  json.begin_object();
  address(json, chat_id, thread_id);
  return json.key("action").value("typing").end_object().take();
}

std::string answer_callback_body(const std::string& callback_id, const std::string& text) {
  constexpr std::size_t kLongest = 200;  // Telegram's limit for this notice
  JsonWriter json(kAround + text.size());
  json.begin_object().key("callback_query_id").value(callback_id);
  if (!text.empty()) json.key("text").value(text::shorten(text::sanitize(text), kLongest));
  return json.end_object().take();
}

std::string commands_body(const std::vector<std::pair<std::string, std::string>>& commands) {
  JsonWriter json(kAround + commands.size() * 64);
  json.begin_object().key("commands").begin_array();
  for (const auto& [name, description] : commands) {
    json.begin_object().key("command").value(name);
    json.key("description").value(description).end_object();
  }
  return json.end_array().end_object().take();
}

std::string webhook_body(const std::string& url, const Secret& secret) {
  JsonWriter json(kAround + url.size());
  json.begin_object().key("url").value(url);
  if (!secret.empty()) json.key("secret_token").value(secret.reveal());
  allowed_updates(json);
  return json.end_object().take();
}

}  // namespace katana::telegram
