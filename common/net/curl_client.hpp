#pragma once

#include <memory>
#include <optional>

#include "common/loop/loop.hpp"
#include "common/net/certificates.hpp"
#include "common/net/http.hpp"
#include "common/net/smtp.hpp"

namespace katana::net {

/// HTTP over libcurl's multi-socket interface on our loop, and SMTP over libcurl on a thread of its own,
/// which starts with the first mail. One a process; must outlive its calls' owners' use of it and be
/// destroyed before the loop. Loop thread only.
class CurlClient final : public HttpClient, public MailClient {
 public:
  explicit CurlClient(loop::Loop& loop);
  ~CurlClient() override;
  HttpCall start(HttpRequest request, HttpEvents events) override;
  HttpCall send(Mail mail, std::function<void(Result<std::string>)> on_done) override;
  /// Of the certificates that servers showed for HTTPS, the first one to expire.
  [[nodiscard]] std::optional<Certificate> earliest_certificate() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::net
