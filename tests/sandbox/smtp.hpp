#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connection.hpp"
#include "json.hpp"

namespace sandbox {

/// A mail as it came in, dots undone.
struct Mail {
  Nanos at = 0;
  std::string hello;
  std::string from;
  std::vector<std::string> to;
  std::string data;
  bool tls = false;
  std::string auth_user;  ///< empty: none was used
};

/// A scripted misfortune at one step of a session.
struct SmtpFault {
  std::string stage;  ///< connect, ehlo, starttls, auth, mail, rcpt, data, message (after the dot), any
  int code = 450;
  std::string text;
  bool hang = false;
  bool close = false;
  std::int64_t count = 1;  ///< -1: for ever
};

class SmtpServer;

/// One SMTP session: EHLO, STARTTLS, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA. Owned by its server.
class SmtpConnection : public Connection {
 public:
  SmtpConnection(Loop& loop, int fd, SmtpServer& server);
  void greet();

 protected:
  void on_input() override;
  void on_closed() override;

 private:
  enum class Expecting { Command, AuthPlain, AuthUser, AuthPassword, Data };
  void line(std::string_view text);
  void command(std::string_view verb, std::string_view rest);
  void ehlo(std::string_view verb, std::string_view who);
  void auth(std::string_view rest);
  void log_in(std::string_view user, std::string_view password);
  void envelope(std::string_view verb, std::string_view rest);
  void data_line(std::string_view text);
  void say(std::string_view reply);
  /// True: a fault has taken this step over.
  bool spoiled(std::string_view stage);

  SmtpServer& server_;
  Expecting expecting_ = Expecting::Command;
  std::string user_;
  Mail mail_;
  bool hung_ = false;
};

/// Takes mail and keeps it. With `user` and `password` set, AUTH is demanded and checked; otherwise any
/// log-in is good.
class SmtpServer {
 public:
  SmtpServer(Loop& loop, ssl_ctx_st* tls) : loop_(loop), tls_(tls) {}
  ~SmtpServer() { closing_ = true; }
  /// Returns the port. `implicit_tls`: TLS from the first byte.
  int listen(const std::string& address, bool implicit_tls);
  /// `{stage, code, text, hang, close, count}`, `{strip_starttls}`, `{require_tls}`, `{user, password}`; an
  /// error, or empty.
  std::string configure(Json spec);
  const std::deque<Mail>& mails() const { return mails_; }
  void reset();

 private:
  friend class SmtpConnection;
  Loop& loop_;
  ssl_ctx_st* tls_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<SmtpConnection*, std::unique_ptr<SmtpConnection>> connections_;
  std::deque<Mail> mails_;
  std::vector<SmtpFault> faults_;
  bool strip_starttls_ = false;
  bool require_tls_ = false;
  std::string user_;
  std::string password_;
  bool closing_ = false;
};

std::string base64_decode(std::string_view text);

}  // namespace sandbox
