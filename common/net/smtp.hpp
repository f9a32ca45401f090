#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/core/result.hpp"
#include "common/core/secret.hpp"
#include "common/net/http.hpp"

namespace katana::net {

/// One message to hand to a mail server. `message` is complete (headers and body, CRLF lines); without one
/// the server is only asked whether it lets us in: connection, TLS, password, and a NOOP.
struct Mail {
  std::string url;  ///< `smtp://host:587` (STARTTLS is required) or `smtps://host:465`
  std::string user;
  Secret password;
  bool allow_plain =
      false;         ///< only for loopback without a password: TLS is then used when offered, not required
  std::string from;  ///< envelope sender, address alone
  std::vector<std::string> to;
  std::string message;
  std::string ca_file{};  ///< extra trust anchor; empty: the system's
  Millis total_timeout{30'000};
};

/// Port: where e-mail goes out.
class MailClient {
 public:
  virtual ~MailClient() = default;
  /// `on_done` gets the server's last reply line (such as `250 2.0.0 Ok: queued as …`), or why it failed.
  virtual HttpCall send(Mail mail, std::function<void(Result<std::string>)> on_done) = 0;
};

}  // namespace katana::net
