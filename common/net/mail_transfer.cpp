#include "common/net/mail_transfer.hpp"

#include <algorithm>
#include <cstring>

#include "common/core/text.hpp"

namespace katana::net {
namespace {

constexpr std::size_t kMaxMessage = 1 << 20;
constexpr std::size_t kMaxRecipients = 100;
constexpr std::size_t kMaxReply = 512;  // what RFC 5321 allows a reply line

bool begins_with(std::string_view s, std::string_view prefix) {
  return s.substr(0, prefix.size()) == prefix;
}

bool plain_address(std::string_view address) {
  return !address.empty() && address.size() <= 254 && std::all_of(address.begin(), address.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '<' && c != '>';
  });
}

bool is_loopback(std::string_view origin) {
  for (const std::string_view host : {"smtp://127.0.0.1", "smtp://localhost", "smtp://[::1]"}) {
    if (begins_with(origin, host) && (origin.size() == host.size() || origin[host.size()] == ':'))
      return true;
  }
  return false;
}

}  // namespace

MailTransfer::MailTransfer(CurlEngine& engine, Mail mail, std::function<void(Result<std::string>)> on_done)
    : Transfer(engine), mail_(std::move(mail)), on_done_(std::move(on_done)) {}

MailTransfer::~MailTransfer() {
  release();
}

std::optional<Error> MailTransfer::check() const {
  const std::string origin = origin_of(mail_.url);
  Error error{Code::Rejected, origin + ": ", {}, true};
  if (!begins_with(mail_.url, "smtp://") && !begins_with(mail_.url, "smtps://")) {
    error.detail += "a mail server's address begins with smtp:// or smtps://";
  } else if (mail_.allow_plain && (!mail_.password.empty() || !is_loopback(origin))) {
    error.detail += "mail without TLS is for a server on this machine, without a password";
  } else if (!plain_address(mail_.from)) {
    error.detail += "the sender isn't an e-mail address";
  } else if (mail_.to.empty() || mail_.to.size() > kMaxRecipients) {
    error.detail += "a message has 1 to " + std::to_string(kMaxRecipients) + " recipients";
  } else if (!std::all_of(mail_.to.begin(), mail_.to.end(), plain_address)) {
    error.detail += "a recipient isn't an e-mail address";
  } else if (mail_.message.size() > kMaxMessage) {
    error.detail += "the message is over the limit of " + std::to_string(kMaxMessage) + " bytes";
  } else {
    return std::nullopt;
  }
  return error;
}

void MailTransfer::begin() {
  if (auto error = check()) {
    const auto self = std::static_pointer_cast<MailTransfer>(shared_from_this());
    engine_.loop().later([self, error = std::move(*error)]() mutable {
      if (self->over_) return;
      self->over_ = true;
      if (const auto done = std::move(self->on_done_)) done(fail(std::move(error)));
    });
    return;
  }
  easy_ = curl_easy_init();
  set_up();
  engine_.start(shared_from_this());
}

void MailTransfer::set_up() {
  engine_.prepare(easy_);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, why_.data());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(easy_, CURLOPT_URL, mail_.url.c_str());
  // Never in the clear, unless the check above has let it pass.
  curl_easy_setopt(easy_, CURLOPT_USE_SSL, mail_.allow_plain ? CURLUSESSL_TRY : CURLUSESSL_ALL);
  if (!mail_.ca_file.empty()) curl_easy_setopt(easy_, CURLOPT_CAINFO, mail_.ca_file.c_str());
  if (!mail_.user.empty()) {
    curl_easy_setopt(easy_, CURLOPT_USERNAME, mail_.user.c_str());
    curl_easy_setopt(easy_, CURLOPT_PASSWORD, mail_.password.reveal().c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_MAIL_FROM, ("<" + mail_.from + ">").c_str());
  for (const auto& to : mail_.to)
    recipients_ = curl_slist_append(recipients_, ("<" + to + ">").c_str());
  curl_easy_setopt(easy_, CURLOPT_MAIL_RCPT, recipients_);
  curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(mail_.message.size()));
  curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &MailTransfer::on_read);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &MailTransfer::on_reply);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(
      easy_, CURLOPT_WRITEFUNCTION,
      +[](char*, std::size_t size, std::size_t count, void*) { return size * count; });
  const long total = static_cast<long>(mail_.total_timeout.count());
  curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, total);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, total);
  curl_easy_setopt(easy_, CURLOPT_SERVER_RESPONSE_TIMEOUT, std::max(1L, total / 1000));
  // A session of its own for each message: alerts are rare, and a server that hung up in between costs
  // nothing.
  curl_easy_setopt(easy_, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, 1L);
}

std::size_t MailTransfer::on_read(char* into, std::size_t size, std::size_t count, void* self) {
  auto& mail = *static_cast<MailTransfer*>(self);
  const std::size_t n = std::min(size * count, mail.mail_.message.size() - mail.sent_);
  std::memcpy(into, mail.mail_.message.data() + mail.sent_, n);
  mail.sent_ += n;
  return n;
}

/// Every line of the server's side of the talk comes here; the last one is its verdict.
std::size_t MailTransfer::on_reply(char* at, std::size_t size, std::size_t count, void* self) {
  const std::string_view line = text::trim({at, size * count});
  if (!line.empty()) {
    static_cast<MailTransfer*>(self)->reply_ = text::one_line(text::sanitize(line.substr(0, kMaxReply)));
  }
  return size * count;
}

/// The server's own refusals: 4xx passes by itself, 5xx doesn't, and 53x is about who we are (RFC 4954).
Error MailTransfer::why(CURLcode code) {
  Error error =
      curl_error(easy_, code, origin_of(mail_.url), curl_error_is_about_tls(code) ? why_.data() : "");
  error.never_left = sent_ == 0;
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  const bool refused =
      status >= 400 && status < 600 && error.code != Code::Network && error.code != Code::Timeout;
  if (code == CURLE_USE_SSL_FAILED) {
    error.detail = origin_of(mail_.url) + ": the server offers no STARTTLS, and mail isn't sent in the clear";
  } else if (refused || code == CURLE_SEND_ERROR || code == CURLE_LOGIN_DENIED) {
    if (status >= 530 && status <= 538)
      error.code = Code::Auth;
    else if (status >= 500)
      error.code = Code::Rejected;
    else if (status >= 400)
      error.code = Code::Overloaded;
    if (!reply_.empty()) error.detail = origin_of(mail_.url) + ": the server said: " + reply_;
  } else if (code == CURLE_WEIRD_SERVER_REPLY) {
    error.detail = origin_of(mail_.url) + ": the answer isn't SMTP";
  }
  return error;
}

void MailTransfer::finish(CURLcode code) {
  const auto done = std::move(on_done_);
  Result<std::string> result;
  if (code == CURLE_OK) {
    result = std::move(reply_);
  } else {
    result = fail(why(code));
  }
  release();
  if (done) done(std::move(result));
}

void MailTransfer::release() {
  on_done_ = nullptr;
  if (easy_ != nullptr) curl_easy_cleanup(easy_);
  easy_ = nullptr;
  curl_slist_free_all(recipients_);
  recipients_ = nullptr;
}

}  // namespace katana::net
