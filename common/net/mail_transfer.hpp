#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/net/curl_engine.hpp"
#include "common/net/smtp.hpp"

/// Private to this room: one message on its way to a mail server.
namespace katana::net {

class MailTransfer final : public Transfer {
 public:
  MailTransfer(CurlEngine& engine, Mail mail, std::function<void(Result<std::string>)> on_done);
  ~MailTransfer() override;
  /// Starts it, or reports later why it can't be.
  void begin();

 private:
  void finish(CURLcode code) override;
  void release() override;

  std::optional<Error> check() const;
  void set_up();
  Error why(CURLcode code);
  static std::size_t on_reply(char* at, std::size_t size, std::size_t count, void* self);
  static std::size_t on_read(char* into, std::size_t size, std::size_t count, void* self);

  Mail mail_;
  std::function<void(Result<std::string>)> on_done_;
  curl_slist* recipients_ = nullptr;
  std::size_t sent_ = 0;
  std::string reply_;  ///< the server's last line
  std::array<char, CURL_ERROR_SIZE> why_{};
};

}  // namespace katana::net
