// What people do: say, edit, and what of it reaches the bot.
#include <algorithm>

#include "telegram.hpp"

namespace sandbox {
namespace {

/// Does a bot with Group Privacy on get this message? Commands meant for it or for nobody, and replies to it.
/// A plain mention often never arrives with that setting, so here it never does. Telegram's own words always
/// do.
bool passes_privacy(const Bot& bot, const Chat& chat, const Message& message) {
  if (!chat.is_group() || bot.reads_all_groups || message.media.starts_with(",\"migrate_")) return true;
  if (message.reply_to != 0) {
    const Message* replied = const_cast<Chat&>(chat).find(message.reply_to);
    if (replied != nullptr && replied->by_bot) return true;
  }
  if (message.text.empty() || message.text[0] != '/') return false;
  const std::string_view command =
      std::string_view(message.text).substr(0, message.text.find_first_of(" \n"));
  const auto at = command.find('@');
  return at == std::string_view::npos || same_ignoring_case(command.substr(at + 1), bot.username);
}

}  // namespace

Message& Telegram::say(Bot& bot, Chat& chat, User& from, Formatted text, std::string media,
                       std::int64_t reply_to, std::int64_t thread, std::int64_t age) {
  detect_entities(text);
  Message& message = add_message(bot, chat);
  message.from = from.id;
  message.by_bot = false;
  message.date -= age;
  message.text = std::move(text.text);
  message.entities = entities_json(text.entities);
  message.media = std::move(media);
  message.reply_to = reply_to;
  message.thread = thread;
  const std::string json = message_json(bot, chat, message);
  show(bot, chat, "said", ",\"message\":" + json);
  if (!chat.blocked && passes_privacy(bot, chat, message)) push(bot, "message", json, chat.id);
  return message;
}

bool Telegram::edit_own(Bot& bot, Chat& chat, std::int64_t id, Formatted text) {
  Message* message = chat.find(id);
  if (message == nullptr || message->by_bot) return false;
  detect_entities(text);
  history_bytes += message->text.size();
  message->edits.push_back({message->changed, std::move(message->text), std::move(message->entities), {}});
  ++message->edit_count;
  message->text = std::move(text.text);
  message->entities = entities_json(text.entities);
  message->edit_date = wall_seconds();
  message->changed = now_ns();
  const std::string json = message_json(bot, chat, *message);
  show(bot, chat, "edited", ",\"message\":" + json);
  if (!chat.blocked && passes_privacy(bot, chat, *message)) push(bot, "edited_message", json, chat.id);
  return true;
}

}  // namespace sandbox
