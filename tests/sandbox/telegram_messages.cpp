// Sending, editing, deleting text.
#include <algorithm>

#include "telegram.hpp"

namespace sandbox {
namespace {

constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxRich = 32'768;

void send_shown(Call& call, Message& message, std::string_view what, bool with_result = true) {
  const std::string json = call.telegram.message_json(call.bot, *call.chat, message);
  call.telegram.show(call.bot, *call.chat, what, ",\"message\":" + json);
  if (call.telegram.probe() != nullptr) {
    call.telegram.probe()->on_text(call.chat->id, message.id,
                                   message.rich.empty() ? message.text : message.rich);
  }
  if (with_result) call.ok(json);
}

void send_message(Call& call) {
  Formatted formatted;
  SendOptions options;
  if (!read_formatted(call, "text", "entities", kMaxText, formatted)) return;
  if (formatted.text.empty()) return call.bad("message text is empty");
  if (!read_options(call, options)) return;
  Message& message = call.telegram.add_message(call.bot, *call.chat);
  message.text = std::move(formatted.text);
  message.entities = entities_json(formatted.entities);
  message.thread = options.thread;
  message.reply_to = options.reply_to;
  message.markup = std::move(options.markup);
  send_shown(call, message, "sent");
}

/// The source of an InputRichMessage. False: the call has been failed.
bool read_rich(Call& call, std::string& source) {
  Json rich;
  if (!call.params.json("rich_message", rich)) {
    call.bad("rich message must be non-empty");
    return false;
  }
  const std::string_view html = text_of(rich, "html");
  source = html.empty() ? text_of(rich, "markdown") : html;
  Json blocks;
  if (source.empty() && member(rich, "blocks", blocks)) source = simdjson::minify(blocks);
  if (source.empty()) {
    call.bad("rich message must be non-empty");
    return false;
  }
  if (utf16_length(source) > kMaxRich) {
    call.bad("message is too long");
    return false;
  }
  return true;
}

std::string rich_members(std::string_view source) {
  return ",\"rich_message\":{\"blocks\":[{\"type\":\"paragraph\",\"text\":" + to_json(source) + "}]}";
}

void send_rich(Call& call) {
  std::string source;
  SendOptions options;
  if (!read_rich(call, source) || !read_options(call, options)) return;
  Message& message = call.telegram.add_message(call.bot, *call.chat);
  message.media = rich_members(source);
  message.rich = std::move(source);
  message.thread = options.thread;
  message.reply_to = options.reply_to;
  message.markup = std::move(options.markup);
  send_shown(call, message, "sent");
}

void remember_edit(Telegram& telegram, Message& message) {
  if (telegram.room_for_history(message.text.size())) {
    if (message.edits.size() >=
        telegram.keep_edits) {  // the first shows how it began, the newest matter most
      telegram.history_bytes -= message.edits[1].text.size();
      message.edits.erase(message.edits.begin() + 1);
    }
    telegram.history_bytes += message.text.size();
    message.edits.push_back(
        {message.changed, std::move(message.text), std::move(message.entities), std::move(message.markup)});
  }
  message.edit_date = wall_seconds();
  message.changed = now_ns();
  ++message.edit_count;
}

void edit_text(Call& call) {
  Formatted formatted;
  std::string rich;
  std::string markup;
  const bool is_rich = call.params.has("rich_message");
  if (is_rich) {
    if (!read_rich(call, rich)) return;
  } else {
    if (!read_formatted(call, "text", "entities", kMaxText, formatted)) return;
    if (formatted.text.empty()) return call.bad("message text is empty");
  }
  Message* message = own_message(call, "edit");
  if (message == nullptr || !read_markup(call, true, markup)) return;
  if (!message->media.empty() && message->rich.empty())
    return call.bad("there is no text in the message to edit");
  std::string entities = entities_json(formatted.entities);
  if (message->text == formatted.text && message->entities == entities && message->markup == markup &&
      message->rich == rich) {
    return call.bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a "
        "current "
        "content and reply markup of the message");
  }
  remember_edit(call.telegram, *message);
  message->text = std::move(formatted.text);
  message->entities = std::move(entities);
  message->markup = std::move(markup);
  message->media = is_rich ? rich_members(rich) : std::string();
  message->rich = std::move(rich);
  send_shown(call, *message, "edited");
}

void edit_caption(Call& call) {
  Formatted formatted;
  std::string markup;
  if (!read_formatted(call, "caption", "caption_entities", 1024, formatted)) return;
  Message* message = own_message(call, "edit");
  if (message == nullptr || !read_markup(call, true, markup)) return;
  if (message->media.empty()) return call.bad("there is no caption in the message to edit");
  remember_edit(call.telegram, *message);
  message->text = std::move(formatted.text);
  message->entities = entities_json(formatted.entities);
  message->markup = std::move(markup);
  send_shown(call, *message, "edited");
}

void edit_markup(Call& call) {
  std::string markup;
  Message* message = own_message(call, "edit");
  if (message == nullptr || !read_markup(call, true, markup)) return;
  if (message->markup == markup) {
    return call.bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a "
        "current "
        "content and reply markup of the message");
  }
  const std::string text = message->text;
  const std::string entities = message->entities;
  remember_edit(call.telegram, *message);
  message->text = text;
  message->entities = entities;
  message->markup = std::move(markup);
  send_shown(call, *message, "edited");
}

void remove(Call& call, Message& message) {
  message.deleted = true;
  message.changed = now_ns();
  call.telegram.show(call.bot, *call.chat, "deleted", ",\"message_id\":" + std::to_string(message.id));
}

void delete_message(Call& call) {
  Message* message = call.chat->find(call.params.integer("message_id").value_or(0));
  if (message == nullptr) return call.bad("message to delete not found");
  if (!message->by_bot && call.chat->is_group()) return call.bad("message can't be deleted");
  remove(call, *message);
  call.ok("true");
}

void delete_messages(Call& call) {
  Json list;
  JsonArray ids;
  if (!call.params.json("message_ids", list) || list.get(ids) != simdjson::SUCCESS || ids.size() == 0 ||
      ids.size() > 100) {
    return call.bad("message identifiers are not specified");
  }
  for (const Json id : ids) {
    std::int64_t number = 0;
    if (id.get(number) != simdjson::SUCCESS) continue;
    if (Message* message = call.chat->find(number)) remove(call, *message);
  }
  call.ok("true");
}

void send_draft(Call& call) {
  const bool rich = call.params.has("rich_message");
  Formatted formatted;
  if (rich) {
    if (!read_rich(call, formatted.text)) return;
  } else if (!read_formatted(call, "text", "entities", kMaxText, formatted)) {
    return;
  }
  if (call.chat->kind != Chat::Kind::Private) return call.bad("drafts can be sent only to private chats");
  const std::int64_t draft = call.params.integer("draft_id").value_or(0);
  if (draft == 0) return call.bad("draft_id must be non-zero");
  std::string& shown = call.chat->drafts[draft];
  shown = formatted.text;
  while (call.chat->drafts.size() > 16)
    call.chat->drafts.erase(call.chat->drafts.begin());
  const std::string entities = entities_json(formatted.entities);
  call.telegram.show(call.bot, *call.chat, "draft",
                     ",\"draft_id\":" + std::to_string(draft) + ",\"text\":" + to_json(formatted.text) +
                         (entities.empty() ? "" : ",\"entities\":" + entities) +
                         (call.params.flag("can_stop") ? ",\"can_stop\":true" : ""));
  call.ok("true");
}

}  // namespace

bool read_formatted(Call& call, std::string_view text, std::string_view entities, std::size_t limit,
                    Formatted& formatted) {
  const std::string_view source = call.params.text(text);
  const std::string_view mode = call.params.text("parse_mode");
  std::string error;
  if (!valid_utf8(source)) {
    call.bad("strings must be encoded in UTF-8");
    return false;
  }
  if (!mode.empty()) {
    error = parse_markup(mode, source, formatted);
  } else {
    formatted.text = source;
    Json list;
    if (call.params.json(entities, list)) error = read_entities(list, formatted.entities);
    if (error.empty() && !formatted.entities.empty())
      error = check_entities(formatted.text, formatted.entities);
  }
  if (!error.empty()) {
    call.bad(error);
    return false;
  }
  trim(formatted);
  if (formatted.text.size() > limit && utf16_length(formatted.text) > limit) {
    call.bad(text == "text" ? "message is too long" : "message caption is too long");
    return false;
  }
  detect_entities(formatted);
  return true;
}

bool read_markup(Call& call, bool inline_only, std::string& markup) {
  if (!call.params.has("reply_markup")) return true;
  const auto refuse = [&call](std::string_view why) {
    call.bad(why);
    return false;
  };
  Json root;
  Json value;
  JsonArray rows;
  if (!call.params.json("reply_markup", root)) return refuse("can't parse reply keyboard markup JSON object");
  if (!member(root, "inline_keyboard", value)) {
    if (inline_only) return refuse("inline keyboard expected");
    return true;  // reply keyboards and the like leave no trace in the message
  }
  if (value.get(rows) != simdjson::SUCCESS) return refuse("field \"inline_keyboard\" must be of type Array");
  std::size_t buttons = 0;
  for (const Json row : rows) {
    JsonArray cells;
    if (row.get(cells) != simdjson::SUCCESS)
      return refuse("can't parse inline keyboard button: expected an Array of Arrays");
    for (const Json button : cells) {
      ++buttons;
      if (text_of(button, "text").empty()) return refuse("can't parse inline keyboard button: text is empty");
      JsonObject fields;
      if (button.get(fields) != simdjson::SUCCESS || fields.size() < 2)
        return refuse(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard");
      Json data;
      if (member(button, "callback_data", data)) {
        const std::string_view bytes = text_of(button, "callback_data");
        if (bytes.empty() || bytes.size() > 64) return refuse("BUTTON_DATA_INVALID");
      }
    }
  }
  if (buttons > 0) markup = simdjson::minify(root);
  return true;
}

bool read_options(Call& call, SendOptions& options) {
  options.thread = call.params.integer("message_thread_id").value_or(0);
  if (options.thread != 0 && call.chat->kind == Chat::Kind::Group) {
    call.bad("message thread not found");
    return false;
  }
  bool lenient = call.params.flag("allow_sending_without_reply");
  options.reply_to = call.params.integer("reply_to_message_id").value_or(0);
  Json reply;
  if (call.params.json("reply_parameters", reply)) {
    options.reply_to = number_of(reply, "message_id");
    lenient = flag_of(reply, "allow_sending_without_reply");
  }
  if (options.reply_to != 0 && call.chat->find(options.reply_to) == nullptr) {
    if (!lenient) {
      call.bad("message to be replied not found");
      return false;
    }
    options.reply_to = 0;
  }
  return read_markup(call, false, options.markup);
}

Message* own_message(Call& call, std::string_view verb) {
  Message* message = call.chat->find(call.params.integer("message_id").value_or(0));
  if (message == nullptr) {
    call.bad("message to " + std::string(verb) + " not found");
  } else if (!message->by_bot) {
    call.bad("message can't be " + std::string(verb) + "ed");
    message = nullptr;
  }
  return message;
}

std::vector<std::string_view> sending_fields(std::initializer_list<std::string_view> more) {
  std::vector<std::string_view> fields = {"chat_id",
                                          "text",
                                          "message_thread_id",
                                          "reply_parameters",
                                          "reply_markup",
                                          "entities",
                                          "parse_mode",
                                          "link_preview_options",
                                          "disable_notification",
                                          "protect_content",
                                          "business_connection_id",
                                          "direct_messages_topic_id",
                                          "ephemeral_message_parameters",
                                          "allow_paid_broadcast",
                                          "message_effect_id",
                                          "suggested_post_parameters",
                                          "reply_to_message_id",
                                          "allow_sending_without_reply"};
  fields.insert(fields.end(), more);
  return fields;
}

void add_message_methods(MethodTable& table) {
  table["sendmessage"] = {send_message, true, true, sending_fields({"disable_web_page_preview"})};
  table["sendrichmessage"] = {send_rich, true, true, sending_fields({"rich_message"})};
  table["editmessagetext"] = {
      edit_text,
      true,
      true,
      {"chat_id", "message_id", "text", "entities", "parse_mode", "link_preview_options", "reply_markup",
       "rich_message", "business_connection_id", "inline_message_id", "disable_web_page_preview"}};
  table["editmessagecaption"] = {
      edit_caption,
      true,
      true,
      {"chat_id", "message_id", "caption", "caption_entities", "parse_mode", "show_caption_above_media",
       "reply_markup", "business_connection_id", "inline_message_id"}};
  table["editmessagereplymarkup"] = {
      edit_markup,
      true,
      true,
      {"chat_id", "message_id", "reply_markup", "business_connection_id", "inline_message_id"}};
  table["deletemessage"] = {delete_message, true, true, {"chat_id", "message_id"}};
  table["deletemessages"] = {delete_messages, true, true, {"chat_id", "message_ids"}};
  const std::vector<std::string_view> draft = {"chat_id",      "message_thread_id", "draft_id",
                                               "text",         "entities",          "parse_mode",
                                               "rich_message", "can_stop",          "keep_on_stop"};
  table["sendmessagedraft"] = {send_draft, true, true, draft};
  table["sendrichmessagedraft"] = {send_draft, true, true, draft};
}

}  // namespace sandbox
