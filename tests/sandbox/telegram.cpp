#include "telegram.hpp"

#include <algorithm>
#include <charconv>

#include "webhook.hpp"

namespace sandbox {
namespace {

constexpr std::size_t kMaxMessages = 200'000;  // in all chats together
constexpr std::size_t kMaxFileBytes = 256U << 20;

std::string_view kind_name(Chat::Kind kind) {
  switch (kind) {
    case Chat::Kind::Private:
      return "private";
    case Chat::Kind::Group:
      return "group";
    case Chat::Kind::Supergroup:
      return "supergroup";
    case Chat::Kind::Channel:
      return "channel";
  }
  return "private";
}

void append_message_members(std::string& out, const Message& message) {
  out += ",\"date\":";
  append_number(out, message.date);
  if (message.edit_date != 0) {
    out += ",\"edit_date\":";
    append_number(out, message.edit_date);
  }
  if (message.thread != 0) {
    out += ",\"message_thread_id\":";
    append_number(out, message.thread);
    out += ",\"is_topic_message\":true";
  }
  const bool captioned = !message.media.empty();
  if (!message.text.empty()) {
    out += captioned ? ",\"caption\":" : ",\"text\":";
    append_json(out, message.text);
  }
  if (!message.entities.empty()) {
    out += captioned ? ",\"caption_entities\":" : ",\"entities\":";
    out += message.entities;
  }
  out += message.media;
  if (!message.markup.empty()) {
    out += ",\"reply_markup\":";
    out += message.markup;
  }
}

}  // namespace

Message* Chat::find(std::int64_t message_id) {
  if (messages.empty() || message_id < messages.front().id || message_id > messages.back().id) return nullptr;
  Message& message = messages[static_cast<std::size_t>(message_id - messages.front().id)];
  return message.deleted ? nullptr : &message;
}

Bot::Bot(Telegram& its_telegram, Loop& its_loop, std::string its_token)
    : telegram(its_telegram), loop(its_loop), token(std::move(its_token)), poll(*this) {
  std::from_chars(token.data(), token.data() + token.size(), id);
  name = "Sandbox bot";
  username = "sandbox_" + std::to_string(id) + "_bot";
  describe();
}

Bot::~Bot() {
  loop.undefer(this);
}

void Bot::describe() {
  json = "{\"id\":" + std::to_string(id) + ",\"is_bot\":true,\"first_name\":" + to_json(name) +
         ",\"username\":" + to_json(username) + "}";
}

void Bot::on_turn_end() {
  telegram.answer_poll(*this);
}

Telegram::Telegram(Loop& loop, Record& record, std::uint64_t seed)
    : loop_(loop), record_(record), seed_(seed) {}
Telegram::~Telegram() = default;

Bot& Telegram::add_bot(const std::string& token) {
  if (const auto found = by_token_.find(token); found != by_token_.end()) return *found->second;
  auto bot = std::make_unique<Bot>(*this, loop_, token);
  bot->next_update =
      static_cast<std::int64_t>(100'000'000 + (seed_ * 7919 + bots_.size() * 104'729) % 500'000'000);
  by_token_.emplace(bot->token, bot.get());
  bots_.push_back(std::move(bot));
  return *bots_.back();
}

Bot* Telegram::find_bot(std::string_view which) {
  for (const auto& bot : bots_) {
    if (which.empty() || which == bot->username || which == bot->token || which == std::to_string(bot->id))
      return bot.get();
  }
  return nullptr;
}

Chat* Telegram::find_chat(Bot& bot, std::int64_t id) {
  const auto found = bot.chats.find(id);
  if (found != bot.chats.end()) return &found->second;
  return default_chats && id > 0 ? &open_chat(bot, id, Chat::Kind::Private) : nullptr;
}

Chat& Telegram::open_chat(Bot& bot, std::int64_t id, Chat::Kind kind, std::string_view title) {
  Chat& chat = bot.chats[id];
  if (chat.id == id && title.empty()) return chat;
  chat.id = id;
  chat.kind = kind;
  chat.title = title;
  chat.json = "{\"id\":" + std::to_string(id);
  if (kind == Chat::Kind::Private) {
    const User& who = user(id);
    chat.json += ",\"first_name\":" + to_json(who.first_name);
    if (!who.username.empty()) chat.json += ",\"username\":" + to_json(who.username);
  } else {
    if (chat.title.empty()) chat.title = "Group " + std::to_string(id);
    chat.json += ",\"title\":" + to_json(chat.title);
  }
  chat.json += ",\"type\":\"" + std::string(kind_name(kind)) + "\"}";
  return chat;
}

User* Telegram::find_user(std::int64_t id) {
  const auto found = users_.find(id);
  return found == users_.end() ? nullptr : &found->second;
}

User& Telegram::user(std::int64_t id, std::string_view first_name, std::string_view username) {
  User& who = users_[id];
  if (who.id == id && first_name.empty() && username.empty()) return who;
  who.id = id;
  if (!first_name.empty() || who.first_name.empty())
    who.first_name = first_name.empty() ? "User " + std::to_string(id) : std::string(first_name);
  if (!username.empty()) who.username = username;
  who.json = "{\"id\":" + std::to_string(id) + ",\"is_bot\":false,\"first_name\":" + to_json(who.first_name);
  if (!who.username.empty()) who.json += ",\"username\":" + to_json(who.username);
  who.json += ",\"language_code\":" + to_json(who.language) + "}";
  return who;
}

Message& Telegram::add_message(Bot& bot, Chat& chat) {
  Message& message = chat.messages.emplace_back();
  message.id = chat.next_message++;
  message.date = wall_seconds();
  message.at = message.changed = now_ns();
  message.from = bot.id;
  message.by_bot = true;
  ++messages_kept_;
  while (chat.messages.size() > keep_messages ||
         (messages_kept_ > kMaxMessages && chat.messages.size() > 8)) {
    for (const Edit& edit : chat.messages.front().edits)
      history_bytes -= edit.text.size();
    chat.messages.pop_front();
    --messages_kept_;
  }
  return chat.messages.back();
}

std::string Telegram::message_json(const Bot& bot, const Chat& chat, const Message& message,
                                   bool with_reply) const {
  std::string out;
  out.reserve(256 + message.text.size() + message.entities.size());
  out += "{\"message_id\":";
  append_number(out, message.id);
  out += ",\"from\":";
  if (message.by_bot) {
    out += bot.json;
  } else if (const auto found = users_.find(message.from); found != users_.end()) {
    out += found->second.json;
  } else {
    out += "null";
  }
  out += ",\"chat\":";
  out += chat.json;
  append_message_members(out, message);
  if (with_reply && message.reply_to != 0) {
    if (const Message* replied = const_cast<Chat&>(chat).find(message.reply_to)) {
      out += ",\"reply_to_message\":" + message_json(bot, chat, *replied, false);
    }
  }
  out += '}';
  return out;
}

std::string Telegram::history_json(const Bot& bot, const Chat& chat, const Message& message) const {
  std::string out = message_json(bot, chat, message);
  out.pop_back();
  out += ",\"by_bot\":" + std::string(message.by_bot ? "true" : "false") +
         ",\"deleted\":" + (message.deleted ? "true" : "false");
  out += ",\"at_ns\":" + std::to_string(message.at) + ",\"changed_ns\":" + std::to_string(message.changed);
  if (!message.rich.empty()) out += ",\"rich_source\":" + to_json(message.rich);
  if (!message.reactions.empty()) out += ",\"reactions\":" + message.reactions;
  out += ",\"edit_count\":" + std::to_string(message.edit_count) + ",\"history\":[";
  for (const Edit& edit : message.edits) {
    if (out.back() != '[') out += ',';
    out += "{\"at_ns\":" + std::to_string(edit.at) + ",\"text\":" + to_json(edit.text);
    if (!edit.entities.empty()) out += ",\"entities\":" + edit.entities;
    if (!edit.markup.empty()) out += ",\"reply_markup\":" + edit.markup;
    out += '}';
  }
  return out + "]}";
}

void Telegram::show(const Bot& bot, const Chat& chat, std::string_view what, const std::string& members) {
  if (onlooker_ == nullptr) return;
  std::string json = "{\"event\":\"" + std::string(what) + "\",\"bot\":" + std::to_string(bot.id) +
                     ",\"chat\":" + std::to_string(chat.id) + ",\"at_ns\":" + std::to_string(now_ns()) +
                     members + "}";
  onlooker_->on_shown(bot, chat.id, json);
}

File& Telegram::keep_file(std::string bytes, std::string_view name, std::string_view type) {
  File& file = files_.emplace_back();
  file.id = "file" + std::to_string(seed_) + "_" + std::to_string(now_ns());
  file.path = "documents/" + file.id + "_" + std::string(name);
  file.type = type;
  file_bytes_ += bytes.size();
  file.bytes = std::move(bytes);
  while (file_bytes_ > kMaxFileBytes && files_.size() > 1) {
    file_bytes_ -= files_.front().bytes.size();
    files_.pop_front();
  }
  return files_.back();
}

File* Telegram::find_file(std::string_view id) {
  for (File& file : files_) {
    if (file.id == id || file.path == id) return &file;
  }
  return nullptr;
}

void Telegram::reset() {
  for (const auto& bot : bots_) {
    bot->queue.clear();
    bot->chats.clear();
    bot->commands.clear();
    bot->flood.clear();
    bot->allowed.clear();
    bot->webhook.reset();
    bot->webhook_url.clear();
    bot->last_offset = -1;
    bot->revoked = false;
    bot->conflicts = bot->calls = 0;
  }
  messages_kept_ = history_bytes = 0;
  files_.clear();
  file_bytes_ = 0;
  callbacks.clear();
  faults_.clear();
}

}  // namespace sandbox
