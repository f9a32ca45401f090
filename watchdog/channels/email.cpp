#include "watchdog/channels/email.hpp"

#include "common/core/text.hpp"
#include "common/net/mail_message.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kMaxSubject = 480;  // bytes; net::compose takes 500

bool begins_thread(NoticeKind kind) {
  return kind == NoticeKind::Opened || kind == NoticeKind::Storm || kind == NoticeKind::Flapping ||
         kind == NoticeKind::Test;
}

std::string subject_line(const Notice& notice) {
  std::string line = "[katana] " + subject(notice);
  for (std::size_t units = kMaxSubject; line.size() > kMaxSubject; units = units * 3 / 4)
    line = text::shorten(line, units);
  return line;
}

}  // namespace

net::Mail EmailChannel::envelope() const {
  net::Mail mail;
  mail.url = alerts_.smtp_url;
  mail.user = alerts_.smtp_user;
  mail.password = alerts_.smtp_password;
  mail.allow_plain = alerts_.smtp_may_be_plain;
  mail.ca_file = alerts_.smtp_ca_file;
  mail.from = alerts_.email_from;
  mail.to = alerts_.email_to;
  return mail;
}

/// The server lets us in.
void EmailChannel::probe(std::function<void(Result<void>)> then) {
  probe_ = mail_.send(envelope(), [then = std::move(then)](const Result<std::string>& said) {
    then(said ? Result<void>() : fail(said.error()));
  });
}

void EmailChannel::send(const Notice& notice, const std::string& thread,
                        std::function<void(Result<Receipt>)> then) {
  const std::string at = alerts_.email_from.substr(alerts_.email_from.find('@'));
  const std::string root = "incident-" + notice.incident + at;
  net::MailMessage message;
  message.from = alerts_.email_from;
  message.from_name = "Katana";
  message.to = alerts_.email_to;
  message.subject = subject_line(notice);
  message.text = to_text(notice);
  message.html = to_html(notice);
  message.date = notice.at;
  message.message_id = root;
  // Only what begins a thread may have its id: servers drop a second message of one id.
  if (!thread.empty() || !begins_thread(notice.kind)) {
    message.message_id = "incident-" + notice.incident + "-" + notice.id + at;
    message.in_reply_to = root;
    message.references = {root};
  }
  auto composed = net::compose(message);
  if (!composed) return then(fail(std::move(composed.error())));
  net::Mail mail = envelope();
  mail.message = std::move(*composed);
  call_ = mail_.send(std::move(mail), [then = std::move(then), root](Result<std::string> said) {
    if (!said) return then(fail(std::move(said.error())));
    then(Receipt{*said, root});
  });
}

}  // namespace katana::watchdog
