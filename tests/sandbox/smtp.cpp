#include "smtp.hpp"

#include <algorithm>

#include "http.hpp"

namespace sandbox {
namespace {

constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxMail = 10U << 20;
constexpr std::size_t kMaxMails = 5000;

/// The address out of `FROM:<a@b> SIZE=1`; false: not of that form.
bool path_of(std::string_view rest, std::string_view keyword, std::string& address) {
  if (rest.size() < keyword.size() || !same_ignoring_case(rest.substr(0, keyword.size()), keyword))
    return false;
  rest.remove_prefix(keyword.size());
  while (take_prefix(rest, " ")) {
  }
  const auto end = rest.find('>');
  if (!take_prefix(rest, "<") || end == std::string_view::npos) return false;
  address = rest.substr(0, end - 1);
  return true;
}

}  // namespace

std::string base64_decode(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) continue;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    if ((count += 6) >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> count) & 0xFFU);
    }
  }
  return out;
}

SmtpConnection::SmtpConnection(Loop& loop, int fd, SmtpServer& server)
    : Connection(loop, fd), server_(server) {}

void SmtpConnection::greet() {
  if (!spoiled("connect")) say("220 localhost ESMTP katana-sandbox");
}

void SmtpConnection::say(std::string_view reply) {
  std::string& out = output();
  out += reply;
  out += "\r\n";
}

bool SmtpConnection::spoiled(std::string_view stage) {
  auto& faults = server_.faults_;
  const auto fault = std::find_if(faults.begin(), faults.end(), [stage](const SmtpFault& f) {
    return f.stage == stage || f.stage == "any";
  });
  if (fault == faults.end()) return false;
  const SmtpFault now = *fault;
  if (fault->count > 0 && --fault->count == 0) faults.erase(fault);
  if (now.hang) {
    hung_ = true;
  } else if (now.close) {
    abort(true);
  } else {
    say(std::to_string(now.code) + " " + (now.text.empty() ? "scripted fault" : now.text));
    if (stage == "connect" || now.code == 421) close_when_sent();
  }
  return true;
}

void SmtpConnection::on_input() {
  while (is_open() && !hung_) {
    const std::string_view text = in_.view();
    const auto end = text.find('\n');
    if (end == std::string_view::npos) {
      if (text.size() > kMaxLine && expecting_ != Expecting::Data) abort();
      if (text.size() > kMaxMail) abort();
      return;
    }
    std::string one(text.substr(0, end));
    in_.consume(end + 1);
    if (!one.empty() && one.back() == '\r') one.pop_back();
    line(one);
  }
}

void SmtpConnection::line(std::string_view text) {
  switch (expecting_) {
    case Expecting::Data:
      return data_line(text);
    case Expecting::AuthPlain: {
      expecting_ = Expecting::Command;
      const std::string all = base64_decode(text);
      const auto first = all.find('\0');
      const auto second = first == std::string::npos ? first : all.find('\0', first + 1);
      if (second == std::string::npos) return say("501 5.5.2 malformed AUTH PLAIN");
      return log_in(std::string_view(all).substr(first + 1, second - first - 1),
                    std::string_view(all).substr(second + 1));
    }
    case Expecting::AuthUser:
      user_ = base64_decode(text);
      expecting_ = Expecting::AuthPassword;
      return say("334 UGFzc3dvcmQ6");
    case Expecting::AuthPassword:
      expecting_ = Expecting::Command;
      return log_in(user_, base64_decode(text));
    case Expecting::Command:
      break;
  }
  const auto space = text.find(' ');
  command(text.substr(0, space),
          space == std::string_view::npos ? std::string_view() : text.substr(space + 1));
}

void SmtpConnection::command(std::string_view verb, std::string_view rest) {
  if (same_ignoring_case(verb, "EHLO") || same_ignoring_case(verb, "HELO")) return ehlo(verb, rest);
  if (same_ignoring_case(verb, "QUIT")) {
    say("221 2.0.0 bye");
    return close_when_sent();
  }
  if (same_ignoring_case(verb, "NOOP")) return say("250 2.0.0 ok");
  if (same_ignoring_case(verb, "RSET")) {
    mail_.from.clear();
    mail_.to.clear();
    return say("250 2.0.0 ok");
  }
  if (same_ignoring_case(verb, "STARTTLS")) {
    if (spoiled("starttls")) return;
    if (is_tls() || server_.strip_starttls_) return say("502 5.5.1 not implemented");
    say("220 2.0.0 go ahead");
    in_.consume(in_.size());  // what was sent too early must not be taken for encrypted
    mail_ = Mail();
    return start_tls(server_.tls_);
  }
  if (mail_.hello.empty()) return say("503 5.5.1 say EHLO first");
  if (server_.require_tls_ && !is_tls()) return say("530 5.7.0 Must issue a STARTTLS command first");
  if (same_ignoring_case(verb, "AUTH")) return auth(rest);
  if (!server_.user_.empty() && mail_.auth_user.empty()) return say("530 5.7.0 Authentication required");
  envelope(verb, rest);
}

void SmtpConnection::ehlo(std::string_view verb, std::string_view who) {
  if (spoiled("ehlo")) return;
  mail_.hello = who.empty() ? "?" : std::string(who);
  if (same_ignoring_case(verb, "HELO")) return say("250 localhost");
  say("250-localhost greets you");
  if (!is_tls() && !server_.strip_starttls_) say("250-STARTTLS");
  if (is_tls() || !server_.require_tls_) say("250-AUTH PLAIN LOGIN");
  say("250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 10485760\r\n250 ENHANCEDSTATUSCODES");
}

void SmtpConnection::auth(std::string_view rest) {
  if (spoiled("auth")) return;
  const auto space = rest.find(' ');
  const std::string_view mechanism = rest.substr(0, space);
  const std::string_view initial =
      space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
  if (same_ignoring_case(mechanism, "PLAIN")) {
    expecting_ = Expecting::AuthPlain;
    return initial.empty() ? say("334 ") : line(initial);
  }
  if (same_ignoring_case(mechanism, "LOGIN")) {
    expecting_ = Expecting::AuthUser;
    return initial.empty() ? say("334 VXNlcm5hbWU6") : line(initial);
  }
  say("504 5.5.4 unknown mechanism");
}

void SmtpConnection::log_in(std::string_view user, std::string_view password) {
  if (!server_.user_.empty() && (user != server_.user_ || password != server_.password_)) {
    return say("535 5.7.8 Authentication credentials invalid");
  }
  mail_.auth_user = user;
  say("235 2.7.0 Authentication successful");
}

void SmtpConnection::envelope(std::string_view verb, std::string_view rest) {
  std::string address;
  if (same_ignoring_case(verb, "MAIL")) {
    if (spoiled("mail")) return;
    if (!path_of(rest, "FROM:", address)) return say("501 5.1.7 bad sender");
    mail_.from = address.empty() ? "<>" : address;
    mail_.to.clear();
    return say("250 2.1.0 ok");
  }
  if (same_ignoring_case(verb, "RCPT")) {
    if (spoiled("rcpt")) return;
    if (mail_.from.empty()) return say("503 5.5.1 MAIL first");
    if (!path_of(rest, "TO:", address) || address.find('@') == std::string::npos)
      return say("501 5.1.3 bad recipient");
    mail_.to.push_back(address);
    return say("250 2.1.5 ok");
  }
  if (same_ignoring_case(verb, "DATA")) {
    if (spoiled("data")) return;
    if (mail_.to.empty()) return say("503 5.5.1 RCPT first");
    mail_.data.clear();
    expecting_ = Expecting::Data;
    return say("354 end with <CRLF>.<CRLF>");
  }
  say("502 5.5.2 unknown command");
}

void SmtpConnection::data_line(std::string_view text) {
  if (text == ".") {
    expecting_ = Expecting::Command;
    if (spoiled("message")) return;
    mail_.at = now_ns();
    mail_.tls = is_tls();
    server_.mails_.push_back(mail_);
    if (server_.mails_.size() > kMaxMails) server_.mails_.pop_front();
    mail_.from.clear();
    mail_.to.clear();
    mail_.data.clear();
    return say("250 2.0.0 queued as " + std::to_string(server_.mails_.size()));
  }
  take_prefix(text, ".");
  mail_.data.append(text).append("\r\n");
  if (mail_.data.size() > kMaxMail) abort();
}

void SmtpConnection::on_closed() {
  if (server_.closing_) return;
  const auto found = server_.connections_.find(this);
  if (found == server_.connections_.end()) return;
  loop_.bury(std::move(found->second));
  server_.connections_.erase(found);
}

int SmtpServer::listen(const std::string& address, bool implicit_tls) {
  listeners_.push_back(std::make_unique<Listener>(loop_, address, [this, implicit_tls](int fd) {
    auto connection = std::make_unique<SmtpConnection>(loop_, fd, *this);
    SmtpConnection* session = connection.get();
    connections_.emplace(session, std::move(connection));
    if (implicit_tls) session->start_tls(tls_);
    session->greet();
  }));
  return listeners_.back()->port();
}

std::string SmtpServer::configure(Json spec) {
  static constexpr std::string_view kStages[] = {"connect", "ehlo", "starttls", "auth", "mail",
                                                 "rcpt",    "data", "message",  "any"};
  strip_starttls_ = flag_of(spec, "strip_starttls", strip_starttls_);
  require_tls_ = flag_of(spec, "require_tls", require_tls_);
  user_ = text_of(spec, "user", user_);
  password_ = text_of(spec, "password", password_);
  if (flag_of(spec, "clear")) faults_.clear();
  const std::string_view stage = text_of(spec, "stage");
  if (stage.empty()) return {};
  if (std::find(std::begin(kStages), std::end(kStages), stage) == std::end(kStages))
    return "unknown stage: " + std::string(stage);
  SmtpFault fault;
  fault.stage = stage;
  fault.code = static_cast<int>(number_of(spec, "code", 450));
  fault.text = text_of(spec, "text");
  fault.hang = flag_of(spec, "hang");
  fault.close = flag_of(spec, "close");
  fault.count = number_of(spec, "count", 1);
  faults_.push_back(std::move(fault));
  return {};
}

void SmtpServer::reset() {
  mails_.clear();
  faults_.clear();
  strip_starttls_ = require_tls_ = false;
  user_.clear();
  password_.clear();
}

}  // namespace sandbox
