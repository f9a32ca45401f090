#include "common/net/mail_thread.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <optional>

#include "common/core/host.hpp"
#include "common/core/text.hpp"
#include "common/net/curl_engine.hpp"

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

/// Of `smtp://host` or `smtp://host:port`.
bool on_this_machine(std::string_view origin) {
  constexpr std::string_view kScheme = "smtp://";
  if (!begins_with(origin, kScheme)) return false;
  origin.remove_prefix(kScheme.size());
  return is_loopback(origin.substr(0, origin.find(':', origin.find(']') + 1)));
}

std::optional<Error> check(const Mail& mail) {
  const std::string origin = origin_of(mail.url);
  Error error{Code::Rejected, origin + ": ", {}, true};
  if (!begins_with(mail.url, "smtp://") && !begins_with(mail.url, "smtps://")) {
    error.detail += "a mail server's address begins with smtp:// or smtps://";
  } else if (mail.allow_plain && (!mail.password.empty() || !on_this_machine(origin))) {
    error.detail += "mail without TLS is for a server on this machine, without a password";
  } else if (!plain_address(mail.from)) {
    error.detail += "the sender isn't an e-mail address";
  } else if (mail.to.empty() || mail.to.size() > kMaxRecipients) {
    error.detail += "a message has 1 to " + std::to_string(kMaxRecipients) + " recipients";
  } else if (!std::all_of(mail.to.begin(), mail.to.end(), plain_address)) {
    error.detail += "a recipient isn't an e-mail address";
  } else if (mail.message.size() > kMaxMessage) {
    error.detail += "the message is over the limit of " + std::to_string(kMaxMessage) + " bytes";
  } else {
    return std::nullopt;
  }
  return error;
}

struct Outcome {
  Result<std::string> said;
  std::optional<Wall> certificate{};  ///< until when the server's holds, if it showed one
};

/// One talk with a mail server, from connection to goodbye. Lives on the mail thread.
class Session {
 public:
  Session(const Mail& mail, const std::atomic<bool>& cancelled) : mail_(mail), cancelled_(cancelled) {}
  ~Session() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(recipients_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Outcome run() {
    set_up();
    const CURLcode code = curl_easy_perform(easy_);
    return {code == CURLE_OK ? Result<std::string>(verdict_) : fail(why(code)),
            certificate_expiry(easy_, code)};
  }

 private:
  void set_up();
  void set_message();
  Error why(CURLcode code);
  static std::size_t on_reply(char* at, std::size_t size, std::size_t count, void* self);
  static std::size_t on_read(char* into, std::size_t size, std::size_t count, void* self);

  const Mail& mail_;
  const std::atomic<bool>& cancelled_;
  CURL* easy_ = curl_easy_init();
  curl_slist* recipients_ = nullptr;
  std::size_t sent_ = 0;
  std::string verdict_;  ///< the server's last line before its goodbye
  std::string refusal_;  ///< its last line that refused something
  std::array<char, CURL_ERROR_SIZE> why_{};
};

void Session::set_up() {
  set_common_options(easy_);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, why_.data());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(easy_, CURLOPT_URL, mail_.url.c_str());
  // Never in the clear, unless the check above has let it pass.
  curl_easy_setopt(easy_, CURLOPT_USE_SSL, mail_.allow_plain ? CURLUSESSL_TRY : CURLUSESSL_ALL);
  if (!mail_.ca_file.empty()) {
    curl_easy_setopt(easy_, CURLOPT_CAINFO, mail_.ca_file.c_str());
  } else if (mail_.allow_plain) {
    // Where plain would do, TLS is a courtesy: a mail server on this machine often made its certificate
    // itself.
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  // A certificate that nobody looks at may be as old as it likes.
  if (!mail_.ca_file.empty() || !mail_.allow_plain) curl_easy_setopt(easy_, CURLOPT_CERTINFO, 1L);
  if (!mail_.user.empty()) {
    curl_easy_setopt(easy_, CURLOPT_USERNAME, mail_.user.c_str());
    curl_easy_setopt(easy_, CURLOPT_PASSWORD, mail_.password.reveal().c_str());
  }
  const long total = static_cast<long>(mail_.total_timeout.count());
  curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, total);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, total);
  curl_easy_setopt(easy_, CURLOPT_SERVER_RESPONSE_TIMEOUT, std::max(1L, total / 1000));
  // Asked about once a second while curl waits: how a dropped call ends.
  curl_easy_setopt(easy_, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy_, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(
      easy_, CURLOPT_XFERINFOFUNCTION,
      +[](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> int {
        return static_cast<Session*>(self)->cancelled_.load() ? 1 : 0;
      });
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Session::on_reply);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(
      easy_, CURLOPT_WRITEFUNCTION,
      +[](char*, std::size_t size, std::size_t count, void*) { return size * count; });
  if (mail_.message.empty()) {
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, "NOOP");
    curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  } else {
    set_message();
  }
}

void Session::set_message() {
  curl_easy_setopt(easy_, CURLOPT_MAIL_FROM, ("<" + mail_.from + ">").c_str());
  for (const auto& to : mail_.to)
    recipients_ = curl_slist_append(recipients_, ("<" + to + ">").c_str());
  curl_easy_setopt(easy_, CURLOPT_MAIL_RCPT, recipients_);
  curl_easy_setopt(easy_, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);  // one refused address costs the others nothing
  curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(mail_.message.size()));
  curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Session::on_read);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
}

std::size_t Session::on_read(char* into, std::size_t size, std::size_t count, void* self) {
  auto& session = *static_cast<Session*>(self);
  const std::string& message = session.mail_.message;
  const std::size_t n = std::min(size * count, message.size() - session.sent_);
  message.copy(into, n, session.sent_);
  session.sent_ += n;
  return n;
}

/// Every line of the server's side of the talk comes here.
std::size_t Session::on_reply(char* at, std::size_t size, std::size_t count, void* self) {
  auto& session = *static_cast<Session*>(self);
  const std::string_view line = text::trim({at, size * count});
  if (line.empty() || begins_with(line, "221")) return size * count;
  session.verdict_ = text::one_line(text::sanitize(line.substr(0, kMaxReply)));
  if (line[0] == '4' || line[0] == '5') session.refusal_ = session.verdict_;
  return size * count;
}

/// The server's own refusals: 4xx passes by itself, 5xx doesn't, and 53x is about who we are (RFC 4954).
Error Session::why(CURLcode code) {
  const std::string origin = origin_of(mail_.url);
  Error error = curl_error(easy_, code, origin, curl_error_is_about_tls(code) ? why_.data() : "");
  error.never_left = sent_ == 0;
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  const bool may_be_refusal = code == CURLE_SEND_ERROR || code == CURLE_LOGIN_DENIED ||
                              error.code == Code::Internal || error.code == Code::Malformed ||
                              error.code == Code::Rejected;
  if (code == CURLE_USE_SSL_FAILED) {
    error.detail = origin + ": the server offers no STARTTLS, and mail isn't sent in the clear";
  } else if (may_be_refusal && status >= 400 && status < 600) {
    error.code = status >= 530 && status <= 538 ? Code::Auth
                 : status >= 500                ? Code::Rejected
                                                : Code::Overloaded;
    error.detail = origin + ": the server said: " + refusal_;
  } else if (code == CURLE_WEIRD_SERVER_REPLY) {
    error.detail = origin + ": the answer isn't SMTP";
  }
  return error;
}

}  // namespace

/// A mail on its way. The loop thread alone touches `on_done` and `over`.
struct MailJob final : HttpCall::State {
  void cancel() override {
    over = true;
    on_done = nullptr;
    cancelled = true;
  }
  void finish(Result<std::string> result) {
    if (over) return;
    over = true;
    if (const auto done = std::move(on_done)) done(std::move(result));
  }

  Mail mail;
  std::function<void(Result<std::string>)> on_done;
  bool over = false;
  std::atomic<bool> cancelled = false;
};

HttpCall MailThread::send(Mail mail, std::function<void(Result<std::string>)> on_done) {
  auto job = std::make_shared<MailJob>();
  job->mail = std::move(mail);
  job->on_done = std::move(on_done);
  if (auto error = check(job->mail)) {
    loop_.later([job, error = std::move(*error)]() mutable { job->finish(fail(std::move(error))); });
    return HttpCall(std::move(job));
  }
  std::erase_if(sent_, [](const auto& weak) { return weak.expired(); });
  sent_.push_back(job);
  {
    const std::lock_guard<std::mutex> guard(lock_);
    waiting_.push_back(job);
  }
  more_.notify_one();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  return HttpCall(std::move(job));
}

void MailThread::work() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the loop thread's
  for (;;) {
    std::unique_lock<std::mutex> guard(lock_);
    more_.wait(guard, [this] { return ended_ || !waiting_.empty(); });
    if (ended_) return;
    const auto job = std::move(waiting_.front());
    waiting_.pop_front();
    guard.unlock();
    if (job->cancelled) continue;
    loop_.post([job, &certificates = certificates_,
                outcome = Session(job->mail, job->cancelled).run()]() mutable {
      if (job->over) return;  // and perhaps we are, too
      if (outcome.certificate)
        certificates.saw(origin_of(job->mail.url), *outcome.certificate, std::chrono::steady_clock::now());
      job->finish(std::move(outcome.said));
    });
  }
}

/// Ends the mail under way too, which curl notices within a second.
MailThread::~MailThread() {
  for (const auto& weak : sent_) {
    if (const auto job = weak.lock()) job->cancel();
  }
  {
    const std::lock_guard<std::mutex> guard(lock_);
    ended_ = true;
  }
  more_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace katana::net
