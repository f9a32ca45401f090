// What people do in the chats, by request.
#include "control.hpp"

namespace sandbox {
namespace {

Chat::Kind kind_of(std::string_view name, std::int64_t id) {
  if (name == "group") return Chat::Kind::Group;
  if (name == "supergroup") return Chat::Kind::Supergroup;
  if (name == "channel") return Chat::Kind::Channel;
  if (name == "private") return Chat::Kind::Private;
  return id > 0 ? Chat::Kind::Private : Chat::Kind::Supergroup;
}

/// The members of a message with a file: `,"photo":[…]` and so on. An error text, or empty.
std::string media_members(Telegram& telegram, Json spec, std::string& members) {
  const std::string_view kind = text_of(spec, "kind");
  const std::string_view name = text_of(spec, "name",
                                        kind == "photo"   ? "photo.jpg"
                                        : kind == "voice" ? "voice.oga"
                                                          : "file.txt");
  const std::string_view type = text_of(spec, "mime",
                                        kind == "photo"   ? "image/jpeg"
                                        : kind == "voice" ? "audio/ogg"
                                                          : "text/plain");
  Json value;
  std::string bytes = member(spec, "base64", value) ? base64_decode(text_of(spec, "base64"))
                                                    : std::string(text_of(spec, "text"));
  const std::int64_t size = number_of(spec, "size");  // so many made-up bytes
  if (size > (100 << 20)) return "media: at most 100 MB";
  if (bytes.empty() && size > 0) bytes.assign(static_cast<std::size_t>(size), 'x');
  const File& file = telegram.keep_file(std::move(bytes), name, type);
  const std::string ids = "{\"file_id\":" + to_json(file.id) +
                          ",\"file_unique_id\":" + to_json("u" + file.id) +
                          ",\"file_size\":" + std::to_string(file.bytes.size());
  if (kind == "photo") {
    members =
        ",\"photo\":[" + ids + ",\"width\":90,\"height\":60}," + ids + ",\"width\":1280,\"height\":853}]";
  } else if (kind == "voice") {
    members = ",\"voice\":" + ids + ",\"duration\":3,\"mime_type\":" + to_json(type) + "}";
  } else if (kind == "document") {
    members =
        ",\"document\":" + ids + ",\"file_name\":" + to_json(name) + ",\"mime_type\":" + to_json(type) + "}";
  } else {
    return "media.kind must be photo, document or voice";
  }
  return {};
}

std::string callback_json(const Bot& bot, const std::string& id, const User& from, const std::string& message,
                          std::string_view data) {
  return "{\"id\":\"" + id + "\",\"from\":" + from.json + ",\"message\":" + message +
         ",\"chat_instance\":\"" + std::to_string(bot.id) + "\",\"data\":" + to_json(data) + "}";
}

/// The callback data of a button by its text, or by row and column. Empty: there is none.
std::string button_data(const Message& message, Json spec) {
  const std::string_view named = text_of(spec, "data");
  if (!named.empty()) return std::string(named);
  const std::string_view label = text_of(spec, "button");
  simdjson::dom::parser parser;
  Json root;
  Json rows;
  JsonArray all;
  if (parser.parse(message.markup).get(root) != simdjson::SUCCESS || !member(root, "inline_keyboard", rows) ||
      rows.get(all) != simdjson::SUCCESS)
    return {};
  std::int64_t row_number = 0;
  for (const Json row : all) {
    JsonArray cells;
    if (row.get(cells) != simdjson::SUCCESS) continue;
    std::int64_t column = 0;
    for (const Json cell : cells) {
      const bool meant = label.empty()
                             ? row_number == number_of(spec, "row") && column == number_of(spec, "column")
                             : text_of(cell, "text") == label;
      if (meant) return std::string(text_of(cell, "callback_data"));
      ++column;
    }
    ++row_number;
  }
  return {};
}

}  // namespace

bool Control::find_place(Act& act, Chat*& chat) {
  chat = world_.telegram.find_chat(*act.bot, number_of(act.body, "chat"));
  if (chat == nullptr) fail(act, "no such chat");
  return chat != nullptr;
}

void Control::say(Act& act) {
  const std::int64_t id = number_of(act.body, "chat");
  if (id == 0) return fail(act, "chat is missing");
  const std::int64_t user_id = number_of(act.body, "user", id > 0 ? id : 0);
  if (user_id <= 0) return fail(act, "user is missing");
  User& user = world_.telegram.user(user_id, text_of(act.body, "first_name"), text_of(act.body, "username"));
  const std::string_view language = text_of(act.body, "language");
  if (!language.empty() && language != user.language) {
    user.language = language;
    world_.telegram.user(user_id, user.first_name);
  }
  Chat* known = world_.telegram.find_chat(*act.bot, id);
  Chat& chat = known != nullptr
                   ? *known
                   : world_.telegram.open_chat(*act.bot, id, kind_of(text_of(act.body, "type"), id),
                                               text_of(act.body, "title"));
  Formatted text;
  text.text = text_of(act.body, "text");
  Json value;
  if (member(act.body, "entities", value)) {
    std::string error = read_entities(value, text.entities);
    if (error.empty()) error = check_entities(text.text, text.entities);
    if (!error.empty()) return fail(act, error);
  }
  std::string media;
  if (member(act.body, "media", value)) {
    if (const std::string error = media_members(world_.telegram, value, media); !error.empty())
      return fail(act, error);
  }
  if (text.text.empty() && media.empty()) return fail(act, "text or media is missing");
  if (utf16_length(text.text) > 4096) return fail(act, "people's messages have at most 4096 units too");
  const auto before = act.bot->next_update;
  const Message& message = world_.telegram.say(*act.bot, chat, user, std::move(text), std::move(media),
                                               number_of(act.body, "reply_to"), number_of(act.body, "thread"),
                                               number_of(act.body, "age"));
  const bool delivered = act.bot->next_update != before;
  done(act, ",\"message_id\":" + std::to_string(message.id) +
                ",\"delivered\":" + (delivered ? "true" : "false") +
                (delivered ? ",\"update_id\":" + std::to_string(before) : ""));
}

void Control::edit(Act& act) {
  Chat* chat = nullptr;
  if (!find_place(act, chat)) return;
  Formatted text;
  text.text = text_of(act.body, "text");
  if (!world_.telegram.edit_own(*act.bot, *chat, number_of(act.body, "message_id"), std::move(text))) {
    return fail(act, "no such message of a person");
  }
  done(act);
}

void Control::press(Act& act) {
  Chat* chat = nullptr;
  if (!find_place(act, chat)) return;
  const Message* message = chat->find(number_of(act.body, "message_id"));
  if (message == nullptr) return fail(act, "no such message");
  const std::string data = button_data(*message, act.body);
  if (data.empty()) return fail(act, "no such button");
  const User& user = world_.telegram.user(number_of(act.body, "user", chat->id));
  const std::string id = std::to_string(4'000'000'000'000'000'000 + world_.telegram.next_callback++);
  world_.telegram.callbacks[id] = chat->id;
  const std::string shown = world_.telegram.message_json(*act.bot, *chat, *message);
  world_.telegram.push(*act.bot, "callback_query", callback_json(*act.bot, id, user, shown, data), chat->id);
  done(act, ",\"callback\":\"" + id + "\",\"data\":" + to_json(data));
}

void Control::stop_draft(Act& act) {
  Chat* chat = nullptr;
  if (!find_place(act, chat)) return;
  const std::int64_t draft = number_of(act.body, "draft_id");
  if (chat->drafts.erase(draft) == 0) return fail(act, "no such draft");
  world_.telegram.push(*act.bot, "stopped_message_generation",
                       "{\"chat\":" + chat->json + ",\"draft_id\":" + std::to_string(draft) + "}", chat->id);
  done(act);
}

void Control::raw_update(Act& act) {
  const std::string_view kind = text_of(act.body, "kind");
  Json payload;
  if (kind.empty() || !member(act.body, "payload", payload)) return fail(act, "kind and payload are needed");
  const auto before = act.bot->next_update;
  if (const std::int64_t id = number_of(act.body, "update_id"); id > 0)
    act.bot->next_update = id;  // ids may restart
  const auto used = act.bot->next_update;
  world_.telegram.push(*act.bot, kind, simdjson::minify(payload), number_of(act.body, "chat"));
  done(act, ",\"update_id\":" + std::to_string(used) +
                ",\"delivered\":" + (act.bot->next_update != used ? "true" : "false") +
                ",\"next_before\":" + std::to_string(before));
}

void Control::change_member(Act& act) {
  Chat* chat = nullptr;
  if (!find_place(act, chat)) return;
  const std::string status(text_of(act.body, "status", "member"));
  const User& user = world_.telegram.user(number_of(act.body, "user", chat->id > 0 ? chat->id : 1));
  const bool was_out = chat->blocked;
  chat->blocked = status == "kicked" || status == "left";
  const auto state = [&act](const std::string& name) {
    return "{\"user\":" + act.bot->json + ",\"status\":\"" + name + "\"" +
           (name == "kicked" ? ",\"until_date\":0" : "") + "}";
  };
  world_.telegram.push(*act.bot, "my_chat_member",
                       "{\"chat\":" + chat->json + ",\"from\":" + user.json +
                           ",\"date\":" + std::to_string(wall_seconds()) +
                           ",\"old_chat_member\":" + state(was_out ? "kicked" : "member") +
                           ",\"new_chat_member\":" + state(status) + "}",
                       chat->id);
  done(act);
}

void Control::change_chat(Act& act) {
  const std::int64_t id = number_of(act.body, "chat");
  if (id == 0) return fail(act, "chat is missing");
  Chat* known = world_.telegram.find_chat(*act.bot, id);
  const std::string_view title = text_of(act.body, "title");
  const std::string_view type = text_of(act.body, "type");
  Chat& chat = known != nullptr && title.empty() && type.empty()
                   ? *known
                   : world_.telegram.open_chat(*act.bot, id, kind_of(type, id), title);
  chat.blocked = flag_of(act.body, "blocked", chat.blocked);
  const std::int64_t to = number_of(act.body, "migrated_to");
  if (to != 0) become_supergroup(act, chat, to);
  done(act);
}

/// The group goes on under another id, and says so in both places; with `announced` false the bot was away.
void Control::become_supergroup(Act& act, Chat& group, std::int64_t to) {
  Chat& supergroup = world_.telegram.open_chat(*act.bot, to, Chat::Kind::Supergroup, group.title);
  group.migrated_to = to;
  if (!flag_of(act.body, "announced", true)) return;
  User& user = world_.telegram.user(number_of(act.body, "user", 1));
  const auto say = [&](Chat& where, std::string_view what, std::int64_t id) {
    world_.telegram.say(*act.bot, where, user, {},
                        ",\"migrate_" + std::string(what) + "_chat_id\":" + std::to_string(id), 0, 0, 0);
  };
  say(group, "to", supergroup.id);
  say(supergroup, "from", group.id);
}

void Control::change_bot(Act& act) {
  const std::string token(text_of(act.body, "token"));
  Bot& bot = token.empty() ? *act.bot : world_.telegram.add_bot(token);
  bot.name = text_of(act.body, "name", bot.name);
  bot.username = text_of(act.body, "username", bot.username);
  bot.reads_all_groups = flag_of(act.body, "can_read_all_group_messages", bot.reads_all_groups);
  bot.joins_groups = flag_of(act.body, "can_join_groups", bot.joins_groups);
  bot.revoked = flag_of(act.body, "revoked", bot.revoked);
  bot.describe();
  done(act, ",\"id\":" + std::to_string(bot.id) + ",\"username\":" + to_json(bot.username));
}

}  // namespace sandbox
