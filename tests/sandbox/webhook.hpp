#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "client.hpp"

namespace sandbox {

struct Bot;

/// Pushes a bot's updates, one at a time and in order, to its webhook on loopback (the real server insists on
/// HTTPS; this one takes plain HTTP and only loopback). An update is confirmed by any 2xx; otherwise it is
/// sent again.
class WebhookClient : public Caller {
 public:
  explicit WebhookClient(Bot& bot);
  ~WebhookClient() override;
  static bool accepts(std::string_view url, std::string& why);

  /// Sends the next update if none is on its way.
  void deliver();
  std::int64_t last_error_date() const { return last_error_date_; }
  const std::string& last_error() const { return last_error_; }

  void on_reply(ClientConnection& connection, int status, std::string_view body) override;
  void on_lost(ClientConnection& connection, const char* why) override;

 private:
  void failed(const std::string& why);
  void let_go();

  Bot& bot_;
  std::string host_;
  int port_ = 0;
  std::string path_;
  std::unique_ptr<ClientConnection> connection_;
  std::int64_t in_flight_ = 0;  ///< update id; 0: none
  int failures_ = 0;
  Timer retry_;
  std::int64_t last_error_date_ = 0;
  std::string last_error_;
};

}  // namespace sandbox
