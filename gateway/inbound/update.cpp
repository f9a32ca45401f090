#include "gateway/inbound/update.hpp"

#include <algorithm>
#include <cctype>

#include <simdjson.h>

#include "common/core/text.hpp"

namespace katana::gateway {
namespace {

namespace dom = simdjson::dom;

/// As much as HttpBotApi takes: a batch that is refused here would be asked for again for ever.
constexpr std::size_t kMaxBatchBytes = 32 << 20;

std::int64_t integer(dom::object o, const char* key, std::int64_t otherwise = 0) {
  std::int64_t v = 0;
  return o[key].get(v) == simdjson::SUCCESS ? v : otherwise;
}

std::string string(dom::object o, const char* key) {
  std::string_view v;
  return o[key].get(v) == simdjson::SUCCESS ? std::string(v) : std::string();
}

bool object(dom::object o, const char* key, dom::object& into) {
  return o[key].get(into) == simdjson::SUCCESS;
}

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

Sender sender(dom::object message) {
  dom::object from;
  if (!object(message, "from", from)) return {};
  Sender s;
  s.id = integer(from, "id");
  bool bot = false;
  if (from["is_bot"].get(bot) == simdjson::SUCCESS) s.is_bot = bot;
  s.language = string(from, "language_code");
  return s;
}

/// Byte offset of the UTF-16 position `units` in `text`.
std::size_t byte_offset(std::string_view text, std::int64_t units) {
  return units <= 0 ? 0 : text::prefix_of_utf16(text, static_cast<std::size_t>(units));
}

void read_command(IncomingMessage& m, std::string_view word, std::string_view rest) {
  word.remove_prefix(1);  // the slash
  const auto at = word.find('@');
  m.command = lower(word.substr(0, at));
  if (at != std::string_view::npos) m.command_target = std::string(word.substr(at + 1));
  m.arguments = std::string(text::trim(rest));
}

void read_entities(IncomingMessage& m, dom::object message, const char* key, std::string_view body) {
  dom::array entities;
  if (message[key].get(entities) != simdjson::SUCCESS) return;
  for (dom::element e : entities) {
    dom::object entity;
    if (e.get(entity) != simdjson::SUCCESS) continue;
    const std::int64_t offset = integer(entity, "offset", -1);
    const std::int64_t length = integer(entity, "length", -1);
    if (offset < 0 || length < 2) continue;
    const std::size_t from = byte_offset(body, offset);
    const std::size_t to = byte_offset(body, offset + length);
    if (to <= from) continue;
    const std::string_view word = body.substr(from, to - from);
    const std::string type = string(entity, "type");
    if (type == "bot_command" && offset == 0 && word.front() == '/') read_command(m, word, body.substr(to));
    if (type == "mention" && word.front() == '@') m.mentions.emplace_back(word.substr(1));
  }
}

/// Chat and thread of a message. False when the chat has no id: then nobody can be answered.
bool read_chat(dom::object message, ChatKey& chat, ChatKind& kind) {
  dom::object o;
  if (!object(message, "chat", o)) return false;
  chat.chat_id = integer(o, "id");
  const std::string type = string(o, "type");
  kind = type == "private" ? ChatKind::Private : type == "channel" ? ChatKind::Channel : ChatKind::Group;
  bool topic = false;
  if (message["is_topic_message"].get(topic) == simdjson::SUCCESS && topic) {
    chat.thread_id = integer(message, "message_thread_id");
  }
  return chat.chat_id != 0;
}

/// The members by which Telegram marks its service messages, as its Bot API lists them. What is none of these
/// is a person's: kinds that we don't know are answered, too.
bool is_service(dom::object message) {
  static constexpr std::string_view kMarks[] = {
      "new_chat_members",
      "left_chat_member",
      "new_chat_title",
      "new_chat_photo",
      "delete_chat_photo",
      "group_chat_created",
      "supergroup_chat_created",
      "channel_chat_created",
      "message_auto_delete_timer_changed",
      "migrate_to_chat_id",
      "migrate_from_chat_id",
      "pinned_message",
      "successful_payment",
      "refunded_payment",
      "users_shared",
      "chat_shared",
      "gift",
      "unique_gift",
      "connected_website",
      "write_access_allowed",
      "passport_data",
      "proximity_alert_triggered",
      "boost_added",
      "chat_background_set",
      "checklist_tasks_done",
      "checklist_tasks_added",
      "direct_message_price_changed",
      "paid_message_price_changed",
      "forum_topic_created",
      "forum_topic_edited",
      "forum_topic_closed",
      "forum_topic_reopened",
      "general_forum_topic_hidden",
      "general_forum_topic_unhidden",
      "giveaway_created",
      "giveaway_completed",
      "video_chat_scheduled",
      "video_chat_started",
      "video_chat_ended",
      "video_chat_participants_invited",
      "web_app_data",
  };
  for (const auto field : message) {
    if (std::find(std::begin(kMarks), std::end(kMarks), field.key) != std::end(kMarks)) return true;
  }
  return false;
}

std::variant<UnknownUpdate, IncomingMessage> read_message(dom::object message) {
  IncomingMessage m;
  m.message_id = integer(message, "message_id");
  if (!read_chat(message, m.chat, m.kind)) return UnknownUpdate{"message without a chat id", true};
  if (m.message_id == 0) return UnknownUpdate{"message without a message_id", true};
  m.from = sender(message);
  m.date = from_unix(integer(message, "date"));
  m.text = string(message, "text");
  m.caption = string(message, "caption");
  read_entities(m, message, "entities", m.text);
  read_entities(m, message, "caption_entities", m.caption);
  dom::object replied;
  if (object(message, "reply_to_message", replied)) m.reply_to_user = sender(replied).id;
  m.service = m.text.empty() && is_service(message);
  if (m.service) {
    m.moved_to = integer(message, "migrate_to_chat_id");
    m.moved_from = integer(message, "migrate_from_chat_id");
  }
  return m;
}

template <class To, class From>
To widen(From&& from) {
  return std::visit([](auto&& v) { return To(std::forward<decltype(v)>(v)); }, std::forward<From>(from));
}

decltype(Update::body) read_press(dom::object query) {
  ButtonPress p;
  p.id = string(query, "id");
  p.from = sender(query);
  p.data = string(query, "data");
  dom::object message;
  if (p.id.empty()) return UnknownUpdate{"callback_query without an id", true};
  if (!object(query, "message", message) || !read_chat(message, p.chat, p.kind)) {
    return UnknownUpdate{"callback_query without a message", false};
  }
  p.message_id = integer(message, "message_id");
  return p;
}

decltype(Update::body) read_membership(dom::object change) {
  MembershipChange c;
  ChatKind kind{};
  if (!read_chat(change, c.chat, kind)) return UnknownUpdate{"my_chat_member without a chat id", true};
  dom::object member;
  if (object(change, "new_chat_member", member)) {
    const std::string status = string(member, "status");
    c.present = status != "kicked" && status != "left";
  }
  return c;
}

decltype(Update::body) read_stop(dom::object stopped) {
  StopGeneration s;
  ChatKind kind{};
  if (!read_chat(stopped, s.chat, kind))
    return UnknownUpdate{"stopped_message_generation without a chat id", true};
  s.chat.thread_id = integer(stopped, "message_thread_id");
  s.draft_id = integer(stopped, "draft_id");
  return s;
}

decltype(Update::body) read_body(dom::object update) {
  dom::object inner;
  if (object(update, "message", inner)) return widen<decltype(Update::body)>(read_message(inner));
  if (object(update, "edited_message", inner)) return EditedMessage{};
  if (object(update, "callback_query", inner)) return read_press(inner);
  if (object(update, "my_chat_member", inner)) return read_membership(inner);
  if (object(update, "stopped_message_generation", inner)) return read_stop(inner);
  for (const auto field : update) {
    if (field.key != "update_id") return UnknownUpdate{text::shorten(text::sanitize(field.key), 60), false};
  }
  return UnknownUpdate{"update without content", true};
}

Result<Update> read_update(dom::element element, std::size_t index) {
  dom::object o;
  if (element.get(o) != simdjson::SUCCESS) {
    return fail(Code::Malformed, "update " + std::to_string(index) + " of the batch is not an object");
  }
  Update u;
  if (o["update_id"].get(u.update_id) != simdjson::SUCCESS) {
    return fail(Code::Malformed, "update " + std::to_string(index) + " of the batch has no update_id");
  }
  u.body = read_body(o);
  return u;
}

}  // namespace

struct UpdateParser::Impl {
  dom::parser parser{kMaxBatchBytes + simdjson::SIMDJSON_PADDING};

  Result<dom::element> parse(std::string_view json) {
    if (json.size() > kMaxBatchBytes) return fail(Code::Malformed, "answer of getUpdates is over 32 MiB");
    // Nothing may come without an address either, which simdjson would copy from.
    if (json.empty()) return fail(Code::Malformed, "updates are not JSON: there is nothing");
    dom::element root;
    if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
      return fail(Code::Malformed, std::string("updates are not JSON: ") + simdjson::error_message(error));
    }
    return root;
  }
};

UpdateParser::UpdateParser() : impl_(std::make_unique<Impl>()) {}
UpdateParser::~UpdateParser() = default;

Result<std::vector<Update>> UpdateParser::parse_batch(std::string_view json) {
  auto root = impl_->parse(json);
  if (!root) return fail(root.error());
  dom::array result;
  if ((*root)["result"].get(result) != simdjson::SUCCESS) {
    return fail(Code::Malformed, "answer of getUpdates has no array `result`");
  }
  std::vector<Update> updates;
  updates.reserve(result.size());
  for (dom::element element : result) {
    auto update = read_update(element, updates.size());
    if (!update) return fail(update.error());
    updates.push_back(std::move(*update));
  }
  return updates;
}

Result<Update> UpdateParser::parse_one(std::string_view json) {
  auto root = impl_->parse(json);
  if (!root) return fail(root.error());
  return read_update(*root, 0);
}

}  // namespace katana::gateway
