#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tests/unit/net/peer.hpp"

namespace katana::net {

/// A key and a certificate for 127.0.0.1 that signs itself, made for one test; `pem` is the file to trust.
class TestCertificate {
 public:
  TestCertificate() : key(EVP_EC_gen("P-256")), cert(X509_new()) {
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 24L * 3600);
    X509_set_pubkey(cert, key);
    X509_NAME* name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1,
                               -1, 0);
    X509_set_issuer_name(cert, name);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, nullptr, nullptr, 0);
    for (const auto& [nid, value] : {std::pair{NID_basic_constraints, "critical,CA:TRUE"},
                                     std::pair{NID_subject_alt_name, "IP:127.0.0.1"}}) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
      X509_add_ext(cert, extension, -1);
      X509_EXTENSION_free(extension);
    }
    X509_sign(cert, key, EVP_sha256());
    pem = std::filesystem::temp_directory_path() / ("katana-test-" + std::to_string(::getpid()) + ".pem");
    FILE* file = std::fopen(pem.c_str(), "w");
    PEM_write_X509(file, cert);
    std::fclose(file);
  }
  ~TestCertificate() {
    std::filesystem::remove(pem);
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  TestCertificate(const TestCertificate&) = delete;
  TestCertificate& operator=(const TestCertificate&) = delete;

  EVP_PKEY* key;
  X509* cert;
  std::filesystem::path pem;
};

/// A mail server for one session, with STARTTLS or TLS from the start, AUTH PLAIN, on a thread of its own:
/// OpenSSL's blocking calls keep it short. Read `log` after `join`.
class TlsMailServer {
 public:
  TlsMailServer(const TestCertificate& certificate, bool tls_at_once)
      : context_(SSL_CTX_new(TLS_server_method())),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    SSL_CTX_use_certificate(context_, certificate.cert);
    SSL_CTX_use_PrivateKey(context_, certificate.key);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this, tls_at_once] { session(tls_at_once); });
  }
  ~TlsMailServer() {
    ::shutdown(listener_, SHUT_RDWR);
    join();
    ::close(listener_);
    SSL_CTX_free(context_);
  }
  TlsMailServer(const TlsMailServer&) = delete;
  TlsMailServer& operator=(const TlsMailServer&) = delete;
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  std::uint16_t port = 0;
  std::string log;  ///< what the client said, with [tls] where the handshake was

 private:
  void session(bool tls_at_once) {
    fd_ = ::accept(listener_, nullptr, nullptr);
    if (fd_ < 0) return;
    if (!tls_at_once || start_tls()) talk();
    if (ssl_ != nullptr) SSL_free(ssl_);
    ::close(fd_);
  }
  bool start_tls() {
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    log += "[tls]";
    return SSL_accept(ssl_) == 1;
  }
  void talk() {
    say("220 test\r\n");
    for (std::string line; hear(line);) {
      log += line;
      if (line.rfind("EHLO", 0) == 0) {
        say(ssl_ == nullptr ? "250-test\r\n250 STARTTLS\r\n" : "250-test\r\n250 AUTH PLAIN\r\n");
      } else if (line.rfind("STARTTLS", 0) == 0) {
        say("220 go\r\n");
        if (!start_tls()) return;
      } else if (line.rfind("AUTH PLAIN", 0) == 0) {  // base64 of \0user\0right
        if (line == "AUTH PLAIN\r\n") {
          say("334 \r\n");
          if (!hear(line)) return;
        }
        const bool right = line.find("AHVzZXIAcmlnaHQ=") != std::string::npos;
        say(right ? "235 2.7.0 in\r\n" : "535 5.7.8 no\r\n");
      } else if (line.rfind("DATA", 0) == 0) {
        say("354 go on\r\n");
        while (hear(line) && line != ".\r\n")
          log += line;
        say("250 2.0.0 Ok: queued as 4XYZ\r\n");
      } else if (line.rfind("QUIT", 0) == 0) {
        say("221 bye\r\n");
        return;
      } else {
        say("250 ok\r\n");
      }
    }
  }
  void say(const std::string& text) {
    if (ssl_ != nullptr) {
      SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
    } else {
      ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    }
  }
  bool hear(std::string& line) {
    line.clear();
    for (char c = 0; line.size() < 2 || line.substr(line.size() - 2) != "\r\n"; line += c) {
      const auto n = ssl_ != nullptr ? SSL_read(ssl_, &c, 1) : static_cast<int>(::recv(fd_, &c, 1, 0));
      if (n <= 0) return false;
    }
    return true;
  }

  SSL_CTX* context_;
  int listener_;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
  std::thread thread_;
};

}  // namespace katana::net
