#include "common/telegram/answers.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <simdjson.h>

#include "common/core/dates.hpp"
#include "common/core/text.hpp"

namespace katana::telegram {
namespace {

using Element = simdjson::dom::element;

constexpr std::size_t kLongestDetail = 200;
constexpr std::int64_t kLongestWait = std::int64_t{24} * 3600;

bool contains(std::string_view text, std::initializer_list<std::string_view> any) {
  return std::any_of(any.begin(), any.end(),
                     [text](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

/// Telegram tells these apart by words alone. The words are those of its server; case differs between them.
Refusal refusal_of(int code, std::string_view description) {
  std::string words(description);
  for (char& c : words)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (code == 409) return Refusal::Conflict;
  if (code == 403) return Refusal::ChatGone;
  if (code != 400) return Refusal::Other;
  if (contains(words, {"message is not modified", "message_not_modified"})) return Refusal::NotModified;
  if (contains(words, {"message to edit not found", "message to delete not found", "message can't be edited",
                       "message can't be deleted", "message_id_invalid"})) {
    return Refusal::MessageGone;
  }
  if (contains(words, {"chat not found", "peer_id_invalid", "chat_write_forbidden",
                       "group chat was deactivated", "user is deactivated", "rights to send"})) {
    return Refusal::ChatGone;
  }
  if (contains(words, {"can't parse entities", "can't parse message text", "entities", "entity_"})) {
    return Refusal::BadFormatting;
  }
  return Refusal::Other;
}

Code code_of(int code, std::string_view description) {
  if (code == 401) return Code::Auth;
  if (code == 404 && description == "Not Found") return Code::Auth;  // a token that isn't even one
  if (code == 429 || code == 420) return Code::RateLimited;
  if (code == 409 || code >= 500) return Code::Overloaded;
  return Code::Rejected;
}

void wait_for(Error& error, std::int64_t seconds) {
  error.retry_after = Seconds{std::clamp<std::int64_t>(seconds, 0, kLongestWait)};
}

tl::unexpected<ApiError> malformed(int status, const std::string& what) {
  ApiError error;
  error.http_status = status;
  error.error = {Code::Malformed, "the answer " + what};
  return tl::unexpected<ApiError>(std::move(error));
}

/// A body that isn't Telegram's: something in between answered, or a server that is falling over.
tl::unexpected<ApiError> not_telegram(const net::HttpResponse& answer) {
  const int status = answer.head.status;
  if (status >= 200 && status < 400) return malformed(status, "isn't JSON");
  ApiError error;
  error.http_status = status;
  error.error.code = status == 429 ? Code::RateLimited : status >= 500 ? Code::Overloaded : Code::Malformed;
  error.error.detail = "HTTP " + std::to_string(status) + " without a JSON body";
  const auto wait = answer.head.find("retry-after");
  std::int64_t seconds = 0;
  if (std::from_chars(wait.data(), wait.data() + wait.size(), seconds).ec == std::errc{} && !wait.empty()) {
    wait_for(error.error, seconds);
  }
  return tl::unexpected<ApiError>(std::move(error));
}

tl::unexpected<ApiError> refused(int status, const Element& root) {
  ApiError error;
  error.http_status = status;
  std::int64_t code = status;
  std::string_view description;
  if (root["error_code"].get(code) != simdjson::SUCCESS) code = status;
  if (root["description"].get(description) != simdjson::SUCCESS) description = "no description";
  code = std::clamp<std::int64_t>(code, 0, 999);
  error.refusal = refusal_of(static_cast<int>(code), description);
  error.error.code = code_of(static_cast<int>(code), description);
  error.error.detail = std::to_string(code) + ": " +
                       text::shorten(text::one_line(text::sanitize(description)), kLongestDetail);
  error.webhook_active = contains(description, {"webhook is active"});
  std::int64_t number = 0;
  if (root["parameters"]["retry_after"].get(number) == simdjson::SUCCESS) wait_for(error.error, number);
  if (root["parameters"]["migrate_to_chat_id"].get(number) == simdjson::SUCCESS) {
    error.refusal = Refusal::Migrated;
    error.migrate_to = number;
  }
  return tl::unexpected<ApiError>(std::move(error));
}

/// Parses the answer, and gives its `result` to `read`, which says false if a field that must be there isn't.
template <class T, class Read>
ApiResult<T> read_answer(const net::HttpResponse& answer, Read read) {
  // Its buffers are kept: parsing an answer then allocates nothing. One loop thread, so one of them.
  thread_local simdjson::dom::parser parser;
  const int status = answer.head.status;
  Element root;
  bool ok = false;
  if (parser.parse(answer.body.data(), answer.body.size()).get(root) != simdjson::SUCCESS ||
      !root.is_object()) {
    return not_telegram(answer);
  }
  if (root["ok"].get(ok) != simdjson::SUCCESS) return malformed(status, "has no field 'ok'");
  if (!ok) return refused(status, root);
  Element result;
  if (root["result"].get(result) != simdjson::SUCCESS) return malformed(status, "has no field 'result'");
  T out{};
  if (!read(result, out)) return malformed(status, "lacks a field that it must have");
  return out;
}

}  // namespace

ApiResult<bool> read_done(const net::HttpResponse& answer) {
  return read_answer<bool>(answer, [](const Element&, bool& out) { return out = true; });
}

ApiResult<std::int64_t> read_message_id(const net::HttpResponse& answer) {
  return read_answer<std::int64_t>(answer, [](const Element& result, std::int64_t& out) {
    return result["message_id"].get(out) == simdjson::SUCCESS;
  });
}

ApiResult<BotUser> read_user(const net::HttpResponse& answer) {
  return read_answer<BotUser>(answer, [](const Element& result, BotUser& out) {
    std::string_view text;
    if (result["id"].get(out.id) != simdjson::SUCCESS) return false;
    if (result["username"].get(text) == simdjson::SUCCESS) out.username = text;
    if (result["first_name"].get(text) == simdjson::SUCCESS) out.first_name = text;
    bool reads_all = false;
    if (result["can_read_all_group_messages"].get(reads_all) == simdjson::SUCCESS) {
      out.can_read_all_group_messages = reads_all;
    }
    return true;
  });
}

ApiResult<std::int64_t> read_pending(const net::HttpResponse& answer) {
  return read_answer<std::int64_t>(answer, [](const Element& result, std::int64_t& out) {
    return result["pending_update_count"].get(out) == simdjson::SUCCESS;
  });
}

ApiResult<RawUpdates> read_updates(const net::HttpResponse& answer) {
  // The receiver parses it whole: looking at its beginning saves parsing a hundred updates twice.
  constexpr std::string_view kGood = R"({"ok":true,"result":)";
  const auto told_at = parse_http_date(answer.head.find("date"));
  if (std::string_view{answer.body}.substr(0, kGood.size()) == kGood) return RawUpdates{answer.body, told_at};
  return read_answer<RawUpdates>(answer, [&](const Element&, RawUpdates& out) {
    out = {answer.body, told_at};
    return true;
  });
}

}  // namespace katana::telegram
