#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "connection.hpp"

namespace sandbox {

struct Bot;
class WebhookCall;

/// Pushes a bot's updates, one at a time and in order, to its webhook on loopback (the real server insists on
/// HTTPS; this one takes plain HTTP and only loopback). An update is confirmed by any 2xx; otherwise it is
/// sent again.
class WebhookClient {
 public:
  explicit WebhookClient(Bot& bot);
  ~WebhookClient();
  static bool accepts(std::string_view url, std::string& why);

  /// Sends the next update if none is on its way.
  void deliver();
  std::int64_t last_error_date() const { return last_error_date_; }
  const std::string& last_error() const { return last_error_; }

 private:
  friend class WebhookCall;
  void done(int status);
  void lost(const std::string& why);

  Bot& bot_;
  std::string host_;
  int port_ = 0;
  std::string path_;
  std::unique_ptr<WebhookCall> call_;
  std::int64_t in_flight_ = 0;  ///< update id; 0: none
  int failures_ = 0;
  Timer retry_;
  std::int64_t last_error_date_ = 0;
  std::string last_error_;
};

}  // namespace sandbox
