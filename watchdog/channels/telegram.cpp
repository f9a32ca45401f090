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
    case NoticeKind::Escalated:
    case NoticeKind::Reminder:
      return "⏰ ";
    case NoticeKind::Opened:
    case NoticeKind::Storm:
    case NoticeKind::Acknowledged:
      break;
  }
  return n.severity == Severity::Critical ? "🔴 " : "🟠 ";
}

/// What a press brings back is read by OpsChat: `verb:what`, at most 64 bytes.
telegram::Keyboard keyboard_of(const Notice& n) {
  constexpr std::size_t kMostData = 64;
  telegram::Keyboard keyboard{{{"Ack", "ack:" + n.incident}, {"Silence 1 h", "silence:" + n.incident}},
                              {{"Status", "status"}}};
  const std::string restart = "restart:" + n.process;
  if (!n.process.empty() && restart.size() <= kMostData)
    keyboard[1].push_back({"Restart " + n.process, restart});
  return keyboard;
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
  if (buttons_ && calls_for_action(notice.kind)) out.keyboard = keyboard_of(notice);
  call_ = api_->send_message(out, [this, then = std::move(then)](telegram::ApiResult<std::int64_t> result) {
    if (result) return then(Receipt{"message " + std::to_string(*result), std::to_string(*result)});
    Error error = result.error().error;
    if (result.error().refusal == telegram::Refusal::Migrated) {
      chat_id_ = result.error().migrate_to;
      if (on_moved_) on_moved_(chat_id_);
      error.code = Code::Overloaded;  // the next try goes to the new id
      error.detail = "the group has a new id: set TELEGRAM_ALERT_CHAT_ID=" + std::to_string(chat_id_);
    }
    then(fail(std::move(error)));
  });
}

/// The token works, and Telegram answers.
void TelegramChannel::probe(std::function<void(Result<void>)> then) {
  probe_ = api_->get_me([then = std::move(then)](const telegram::ApiResult<telegram::BotUser>& me) {
    then(me ? Result<void>() : fail(me.error().error));
  });
}

}  // namespace katana::watchdog
