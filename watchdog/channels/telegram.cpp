#include "watchdog/channels/telegram.hpp"

#include <charconv>

#include "common/core/text.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kLongest = 4096;  // UTF-16 units of a message

const char* mark(const Notice& n) {
  switch (n.kind) {
    case NoticeKind::Resolved:
      return "✅ ";
    case NoticeKind::Test:
      return "🔵 ";
    case NoticeKind::Flapping:
      return "🔁 ";
    case NoticeKind::Opened:
      break;
  }
  return n.severity == Severity::Critical ? "🔴 " : "🟠 ";
}

}  // namespace

void TelegramChannel::send(const Notice& notice, const std::string& thread,
                           std::function<void(Result<Receipt>)> then) {
  telegram::OutText out;
  out.chat_id = chat_id_;
  std::from_chars(thread.data(), thread.data() + thread.size(), out.reply_to);
  out.text = text::shorten(mark(notice) + to_text(notice), kLongest);
  out.silent = notice.kind == NoticeKind::Resolved;
  telegram::Entity bold;
  bold.type = "bold";
  bold.length = text::utf16_length(std::string_view(out.text).substr(0, out.text.find('\n')));
  out.entities.push_back(bold);
  call_ = api_->send_message(out, [this, then = std::move(then)](telegram::ApiResult<std::int64_t> result) {
    if (result) return then(Receipt{"message " + std::to_string(*result), std::to_string(*result)});
    Error error = result.error().error;
    if (result.error().refusal == telegram::Refusal::Migrated) {
      chat_id_ = result.error().migrate_to;
      error.code = Code::Overloaded;  // the next try goes to the new id
      error.detail = "the group has a new id: set TELEGRAM_ALERT_CHAT_ID=" + std::to_string(chat_id_);
    }
    then(fail(std::move(error)));
  });
}

}  // namespace katana::watchdog
