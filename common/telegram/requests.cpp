#include "common/telegram/requests.hpp"

#include "common/telegram/json_writer.hpp"

namespace katana::telegram {
namespace {

/// Room for the names around a text: it saves growing the string.
constexpr std::size_t kAround = 256;

/// Every kind that the gateway handles. Telegram remembers the last list, so it is sent each time.
void allowed_updates(JsonWriter& json) {
  json.key("allowed_updates").open('[');
  for (const char* kind :
       {"message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation"}) {
    json.value(std::string_view{kind});
  }
  json.close(']');
}

void address(JsonWriter& json, std::int64_t chat_id, std::int64_t thread_id) {
  json.key("chat_id").value(chat_id);
  if (thread_id != 0) json.key("message_thread_id").value(thread_id);
}

void entities(JsonWriter& json, const std::vector<Entity>& list) {
  if (list.empty()) return;
  json.key("entities").open('[');
  for (const auto& e : list) {
    json.open('{').key("type").value(std::string_view{e.type});
    json.key("offset").value(static_cast<std::int64_t>(e.offset));
    json.key("length").value(static_cast<std::int64_t>(e.length));
    if (!e.url.empty()) json.key("url").value(std::string_view{e.url});
    if (!e.language.empty()) json.key("language").value(std::string_view{e.language});
    json.close('}');
  }
  json.close(']');
}

void keyboard(JsonWriter& json, const Keyboard& rows) {
  if (rows.empty()) return;
  json.key("reply_markup").open('{').key("inline_keyboard").open('[');
  for (const auto& row : rows) {
    json.open('[');
    for (const auto& button : row) {
      json.open('{').key("text").value(std::string_view{button.text});
      if (button.url.empty()) {
        json.key("callback_data").value(std::string_view{button.data});
      } else {
        json.key("url").value(std::string_view{button.url});
      }
      json.close('}');
    }
    json.close(']');
  }
  json.close(']').close('}');
}

/// Text with its formatting. A preview of the first link in an answer would hide the rest of it.
void content(JsonWriter& json, const OutText& message) {
  json.key("text").value(std::string_view{message.text});
  entities(json, message.entities);
}

void no_preview(JsonWriter& json) {
  json.key("link_preview_options").open('{').key("is_disabled").value(true).close('}');
}

std::size_t expected(const OutText& message) {
  return message.text.size() + message.text.size() / 8 + message.entities.size() * 64 + kAround;
}

}  // namespace

std::string get_updates_body(std::int64_t offset, int limit, Seconds timeout) {
  JsonWriter json(kAround);
  json.open('{').key("offset").value(offset);
  json.key("limit").value(static_cast<std::int64_t>(limit));
  json.key("timeout").value(static_cast<std::int64_t>(timeout.count()));
  allowed_updates(json);
  return json.close('}').take();
}

std::string send_message_body(const OutText& message) {
  JsonWriter json(expected(message));
  json.open('{');
  address(json, message.chat_id, message.thread_id);
  content(json, message);
  no_preview(json);
  if (message.reply_to != 0) {
    json.key("reply_parameters").open('{').key("message_id").value(message.reply_to);
    json.key("allow_sending_without_reply").value(true).close('}');
  }
  if (message.silent) json.key("disable_notification").value(true);
  keyboard(json, message.keyboard);
  return json.close('}').take();
}

/// Without a keyboard Telegram takes away the one that was there: the stop button goes with the last edit.
std::string edit_message_body(std::int64_t message_id, const OutText& message) {
  JsonWriter json(expected(message));
  json.open('{').key("chat_id").value(message.chat_id);
  json.key("message_id").value(message_id);
  content(json, message);
  no_preview(json);
  keyboard(json, message.keyboard);
  return json.close('}').take();
}

std::string delete_message_body(std::int64_t chat_id, std::int64_t message_id) {
  JsonWriter json(kAround);
  json.open('{').key("chat_id").value(chat_id).key("message_id").value(message_id);
  return json.close('}').take();
}

std::string send_draft_body(std::int64_t draft_id, const OutText& message) {
  JsonWriter json(expected(message));
  json.open('{');
  address(json, message.chat_id, message.thread_id);
  json.key("draft_id").value(draft_id);
  content(json, message);
  json.key("can_stop").value(true);
  return json.close('}').take();
}

std::string typing_body(std::int64_t chat_id, std::int64_t thread_id) {
  JsonWriter json(kAround);
  json.open('{');
  address(json, chat_id, thread_id);
  return json.key("action").value(std::string_view{"typing"}).close('}').take();
}

std::string answer_callback_body(const std::string& callback_id, const std::string& text) {
  constexpr std::size_t kLongest = 200;  // Telegram's limit for this notice
  JsonWriter json(kAround + text.size());
  json.open('{').key("callback_query_id").value(std::string_view{callback_id});
  if (!text.empty()) json.key("text").value(std::string_view{text::shorten(text::sanitize(text), kLongest)});
  return json.close('}').take();
}

std::string commands_body(const std::vector<std::pair<std::string, std::string>>& commands) {
  JsonWriter json(kAround + commands.size() * 64);
  json.open('{').key("commands").open('[');
  for (const auto& [name, description] : commands) {
    json.open('{').key("command").value(std::string_view{name});
    json.key("description").value(std::string_view{description}).close('}');
  }
  return json.close(']').close('}').take();
}

std::string webhook_body(const std::string& url, const Secret& secret) {
  JsonWriter json(kAround + url.size());
  json.open('{').key("url").value(std::string_view{url});
  if (!secret.empty()) json.key("secret_token").value(std::string_view{secret.reveal()});
  allowed_updates(json);
  return json.close('}').take();
}

}  // namespace katana::telegram
