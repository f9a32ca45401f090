#pragma once

#include <string>

struct ssl_ctx_st;

namespace sandbox {

/// A server's TLS context with a certificate made at start: self-signed, for localhost, 127.0.0.1 and ::1,
/// good for so many days, and its own authority, so that a client can trust it by its file.
class Tls {
 public:
  explicit Tls(int days);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  ssl_ctx_st* context() const { return context_; }
  /// The certificate in PEM form (the key stays in memory).
  const std::string& certificate() const { return certificate_; }

 private:
  ssl_ctx_st* context_ = nullptr;
  std::string certificate_;
};

}  // namespace sandbox
