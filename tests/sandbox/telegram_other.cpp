// What is neither updates nor messages: who the bot is, what it is doing, its commands, buttons, reactions,
// chats.
#include <algorithm>

#include "telegram.hpp"

namespace sandbox {
namespace {

void get_me(Call& call) {
  const Bot& bot = call.bot;
  const auto yes = [](bool flag) { return flag ? "true" : "false"; };
  std::string out = bot.json;
  out.pop_back();
  out += std::string(",\"can_join_groups\":") + yes(bot.joins_groups) +
         ",\"can_read_all_group_messages\":" + yes(bot.reads_all_groups) +
         ",\"supports_inline_queries\":false,\"can_connect_to_business\":false,\"has_main_web_app\":false,"
         "\"has_topics_enabled\":false,\"allows_users_to_create_topics\":false,\"can_manage_bots\":false,"
         "\"supports_join_request_queries\":false}";
  call.ok(out);
}

void send_action(Call& call) {
  static constexpr std::string_view kActions[] = {
      "typing",        "upload_photo",      "record_video",     "upload_video",
      "record_voice",  "upload_voice",      "upload_document",  "choose_sticker",
      "find_location", "record_video_note", "upload_video_note"};
  const std::string_view action = call.params.text("action");
  if (std::find(std::begin(kActions), std::end(kActions), action) == std::end(kActions)) {
    return call.bad("wrong parameter action in request");
  }
  call.telegram.show(call.bot, *call.chat, "action", ",\"action\":" + to_json(action));
  call.ok("true");
}

void answer_callback(Call& call) {
  const auto found = call.telegram.callbacks.find(call.params.text("callback_query_id"));
  if (found == call.telegram.callbacks.end()) {
    return call.bad("query is too old and response timeout expired or query ID is invalid");
  }
  const std::string_view text = call.params.text("text");
  if (utf16_length(text) > 200) return call.bad("MESSAGE_TOO_LONG");
  if (const Chat* chat = call.telegram.find_chat(call.bot, found->second)) {
    call.telegram.show(call.bot, *chat, "answered",
                       ",\"callback\":" + to_json(found->first) + ",\"text\":" + to_json(text) +
                           (call.params.flag("show_alert") ? ",\"alert\":true" : ""));
  }
  call.telegram.callbacks.erase(found);
  call.ok("true");
}

std::string command_key(Call& call) {
  Json scope;
  std::string key =
      call.params.json("scope", scope) ? std::string(simdjson::minify(scope)) : std::string(kDefaultScope);
  return key + std::string(call.params.text("language_code"));
}

void set_commands(Call& call) {
  Json list;
  JsonArray commands;
  if (!call.params.json("commands", list) || list.get(commands) != simdjson::SUCCESS) {
    return call.bad("can't parse commands: expected an Array of BotCommand");
  }
  if (commands.size() > 100) return call.bad("BOT_COMMANDS_TOO_MUCH");
  for (const Json command : commands) {
    const std::string_view name = text_of(command, "command");
    const std::string_view text = text_of(command, "description");
    if (name.empty() || name.size() > 32 ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string_view::npos) {
      return call.bad("BOT_COMMAND_INVALID");
    }
    if (text.empty() || utf16_length(text) > 256) return call.bad("BOT_COMMAND_DESCRIPTION_INVALID");
  }
  call.bot.commands[command_key(call)] = simdjson::minify(list);
  call.ok("true");
}

void get_commands(Call& call) {
  const auto found = call.bot.commands.find(command_key(call));
  call.ok(found == call.bot.commands.end() ? "[]" : found->second);
}

void delete_commands(Call& call) {
  call.bot.commands.erase(command_key(call));
  call.ok("true");
}

void set_reaction(Call& call) {
  Message* message = call.chat->find(call.params.integer("message_id").value_or(0));
  if (message == nullptr) return call.bad("message to react not found");
  Json reactions;
  message->reactions =
      call.params.json("reaction", reactions) ? std::string(simdjson::minify(reactions)) : "[]";
  call.telegram.show(
      call.bot, *call.chat, "reaction",
      ",\"message_id\":" + std::to_string(message->id) + ",\"reaction\":" + message->reactions);
  call.ok("true");
}

void get_chat(Call& call) {
  std::string out = call.chat->json;
  out.pop_back();
  call.ok(out + ",\"accent_color_id\":0,\"max_reaction_count\":11,\"accepted_gift_types\":{}}");
}

void get_member(Call& call) {
  const std::int64_t id = call.params.integer("user_id").value_or(0);
  const User* user = call.telegram.find_user(id);
  if (id != call.bot.id && user == nullptr) return call.bad("PARTICIPANT_ID_INVALID");
  call.ok("{\"status\":\"member\",\"user\":" + (user == nullptr ? call.bot.json : user->json) + "}");
}

void count_members(Call& call) {
  call.ok(call.chat->is_group() ? "3" : "2");
}

void leave(Call& call) {
  call.chat->blocked = true;
  call.ok("true");
}

void yes(Call& call) {
  call.ok("true");
}

}  // namespace

void add_other_methods(MethodTable& table) {
  table["getme"] = {get_me, false, false, {}};
  table["sendchataction"] = {
      send_action, true, true, {"chat_id", "message_thread_id", "action", "business_connection_id"}};
  table["answercallbackquery"] = {
      answer_callback, false, false, {"callback_query_id", "text", "show_alert", "url", "cache_time"}};
  table["setmycommands"] = {set_commands, false, false, {"commands", "scope", "language_code"}};
  table["getmycommands"] = {get_commands, false, false, {"scope", "language_code"}};
  table["deletemycommands"] = {delete_commands, false, false, {"scope", "language_code"}};
  table["setmessagereaction"] = {set_reaction, true, true, {"chat_id", "message_id", "reaction", "is_big"}};
  table["getchat"] = {get_chat, true, false, {"chat_id"}};
  table["getchatmember"] = {get_member, true, false, {"chat_id", "user_id"}};
  table["getchatmembercount"] = {count_members, true, false, {"chat_id"}};
  table["leavechat"] = {leave, true, false, {"chat_id"}};
  table["setmydescription"] = {yes, false, false, {"description", "language_code"}};
  table["setmyshortdescription"] = {yes, false, false, {"short_description", "language_code"}};
  table["setmyname"] = {yes, false, false, {"name", "language_code"}};
  table["logout"] = {yes, false, false, {}};
  table["close"] = {yes, false, false, {}};
}

}  // namespace sandbox
