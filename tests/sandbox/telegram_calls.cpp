// The way in: from an HTTP request to the method's own function.
#include <algorithm>
#include <array>

#include "telegram.hpp"

namespace sandbox {
namespace {

void fail_call(HttpConnection& connection, int code, std::string_view description,
               std::string_view parameters = {}) {
  std::string body = "{\"ok\":false,\"error_code\":" + std::to_string(code) + ",\"description\":";
  append_json(body, description);
  if (!parameters.empty()) body.append(",\"parameters\":").append(parameters);
  body += '}';
  connection.json(code, body);
}

void fail_flood(HttpConnection& connection, Entry* entry, int seconds) {
  if (entry != nullptr) entry->retry_after = seconds;
  const std::string wait = std::to_string(seconds);
  fail_call(connection, 429, "Too Many Requests: retry after " + wait, "{\"retry_after\":" + wait + "}");
}

bool looks_like_token(std::string_view token) {
  const auto colon = token.find(':');
  return colon != std::string_view::npos && colon > 0 && token.find_first_not_of("0123456789") == colon;
}

void note_unknown_fields(Entry& entry, const Params& params, const Method& method) {
  for (const Param& param : params.all()) {
    if (std::find(method.fields.begin(), method.fields.end(), param.name) != method.fields.end()) continue;
    if (!entry.unknown_fields.empty()) entry.unknown_fields += ',';
    entry.unknown_fields += param.name;
  }
}

const MethodTable& methods() {
  static const MethodTable table = [] {
    MethodTable made;
    add_update_methods(made);
    add_message_methods(made);
    add_media_methods(made);
    add_other_methods(made);
    return made;
  }();
  return table;
}

}  // namespace

const Method* find_method(std::string_view lowercase_name) {
  const auto found = methods().find(lowercase_name);
  return found == methods().end() ? nullptr : &found->second;
}

void Call::ok(std::string_view result) {
  std::string body;
  body.reserve(result.size() + 24);
  body += "{\"ok\":true,\"result\":";
  body += result;
  body += '}';
  connection.json(200, body);
}

void Call::fail(int code, std::string_view description, std::string_view parameters) {
  fail_call(connection, code, description, parameters);
}

/// False: the fault has dealt with the call.
bool Telegram::pass_faults(HttpConnection& connection, std::string_view method, std::int64_t chat) {
  Entry* entry = record_.find(connection.record_number());
  const Fault* fault = faults_.take(method, chat, entry == nullptr ? 0 : entry->bot);
  if (fault == nullptr) return true;
  switch (fault->kind) {
    case Fault::Kind::Status: {
      const std::string text =
          fault->description.empty() ? std::string(reason_phrase(fault->status)) : fault->description;
      fail_call(connection, fault->status, text, fault->parameters);
      return false;
    }
    case Fault::Kind::TooMany:
      fail_flood(connection, entry, fault->retry_after);
      return false;
    case Fault::Kind::CloseBefore:
      connection.cut(true);
      return false;
    case Fault::Kind::CloseAfter:
      connection.spoil(Spoil::LoseReply);
      return true;
    case Fault::Kind::Delay:
      connection.hold_output_until(now_ns() + fault->delay);
      return true;
    case Fault::Kind::Hang:
      connection.mute();
      return fault->took;
    case Fault::Kind::Malformed:
      connection.spoil(Spoil::CutReply);
      return true;
    case Fault::Kind::BadGateway:
      connection.reply(
          502, "text/html",
          "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad "
          "Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n");
      return false;
  }
  return true;
}

void Telegram::handle(HttpConnection& connection, const Request& request) {
  std::string_view path = request.path;
  const bool file = take_prefix(path, "/file/bot");
  if (!file) take_prefix(path, "/bot");
  const auto slash = path.find('/');
  const std::string_view raw_token = path.substr(0, slash);
  auto found = by_token_.find(raw_token);
  if (found == by_token_.end() && raw_token.find('%') != std::string_view::npos)
    found = by_token_.find(url_decode(raw_token, false));
  if (slash == std::string_view::npos || (found == by_token_.end() && !looks_like_token(raw_token))) {
    return fail_call(connection, 404, "Not Found");
  }
  if (found == by_token_.end() || found->second->revoked) return fail_call(connection, 401, "Unauthorized");
  path.remove_prefix(slash + 1);
  if (file) return serve_file(connection, path);

  Bot& bot = *found->second;
  ++bot.calls;
  std::array<char, 48> lower{};
  const std::size_t length = std::min(path.size(), lower.size());
  std::transform(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(length), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view name(lower.data(), length);
  std::string why;
  const bool readable = params_.read(request, why);
  const std::int64_t chat = params_.integer("chat_id").value_or(0);
  const Method* method = find_method(name);
  if (Entry* entry = record_.find(request.record)) {
    entry->call = path;
    entry->authorized = true;
    entry->bot = bot.id;
    entry->chat = chat;
    if (method != nullptr) note_unknown_fields(*entry, params_, *method);
  }
  if (!faults_.empty() && !pass_faults(connection, name, chat)) return;
  if (method == nullptr) return fail_call(connection, 404, "Not Found: method not found");
  if (!readable) return fail_call(connection, 400, why);
  if (limits && method->counts) {
    if (const int wait = bot.flood.charge(chat, request.received); wait > 0)
      return fail_flood(connection, record_.find(request.record), wait);
  }
  Call call{*this, bot, params_, connection, request, nullptr};
  if (method->needs_chat) {
    if (!params_.has("chat_id")) return call.bad("chat_id is empty");
    call.chat = find_chat(bot, chat);
    if (call.chat == nullptr) return call.bad("chat not found");
    if (call.chat->migrated_to != 0) {
      return call.fail(400, "Bad Request: group chat was upgraded to a supergroup chat",
                       "{\"migrate_to_chat_id\":" + std::to_string(call.chat->migrated_to) + "}");
    }
    if (call.chat->blocked) {
      return call.fail(403, call.chat->kind == Chat::Kind::Private ? "Forbidden: bot was blocked by the user"
                            : call.chat->kind == Chat::Kind::Group
                                ? "Forbidden: bot was kicked from the group chat"
                                : "Forbidden: bot was kicked from the supergroup chat");
    }
  }
  method->run(call);
}

void Telegram::serve_file(HttpConnection& connection, std::string_view path) {
  const File* file = find_file(url_decode(path, false));
  if (file == nullptr) return fail_call(connection, 404, "Not Found");
  connection.reply(200, "application/octet-stream", file->bytes);
}

}  // namespace sandbox
