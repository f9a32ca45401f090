#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <curl/curl.h>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/loop/loop.hpp"
#include "common/net/http.hpp"

/// Private to this room: libcurl's multi interface on our loop, and what all use of libcurl shares.
namespace katana::net {

class CurlEngine;

/// One transfer. Held by its HttpCall and, while it runs, by the engine. Callbacks of curl run inside the
/// engine's turn, where curl may neither be given a handle nor lose one: the engine defers both.
class Transfer : public HttpCall::State, public std::enable_shared_from_this<Transfer> {
 public:
  explicit Transfer(CurlEngine& engine) : engine_(engine) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  void cancel() final;

 protected:
  friend class CurlEngine;
  /// The transfer has left curl, and wasn't cancelled. The easy handle can still be asked about it.
  virtual void finish(CURLcode code) = 0;
  /// Lets go of the easy handle. Comes after `finish`, or instead of it, unless `finish` did so itself.
  virtual void release() = 0;

  CurlEngine& engine_;
  CURL* easy_ = nullptr;
  bool over_ = false;  ///< finished or cancelled: no callback to the owner any more

 private:
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  std::size_t place_ = kNowhere;  ///< in the engine's list of running transfers
  bool in_curl_ = false;
};

/// Drives one curl multi handle: sockets by watches, curl's one timeout by a loop timer. Owned by CurlClient.
class CurlEngine {
 public:
  explicit CurlEngine(loop::Loop& loop);
  ~CurlEngine();
  CurlEngine(const CurlEngine&) = delete;
  CurlEngine& operator=(const CurlEngine&) = delete;

  void start(std::shared_ptr<Transfer> transfer);
  /// Ends a running transfer early, with `finish(code)` unless it is over; also from inside curl's callbacks.
  void give_up(Transfer& transfer, CURLcode code);
  loop::Loop& loop() { return loop_; }

 private:
  /// A descriptor that curl uses.
  struct Socket {
    loop::Handle watch;
    int watched = 0;          ///< interest of `watch`
    int wanted = 0;           ///< interest of curl
    bool connection = false;  ///< opened through us; once connected, closed through us too
  };
  struct Ended {
    std::shared_ptr<Transfer> transfer;
    CURLcode code;
  };

  curl_socket_t open_socket(const curl_sockaddr& address);
  int close_socket(curl_socket_t fd);
  void add(Transfer& transfer);
  void leave(Transfer& transfer);
  void complete(const std::shared_ptr<Transfer>& transfer, CURLcode code);
  void act(curl_socket_t fd, int events);
  void settle();
  void socket_ready(int fd, loop::Ready ready);
  void watch(int fd);
  Socket& socket(int fd);
  void want(int fd, int what);
  void wake_in(long wait_ms);
  void arm(Mono at, Millis wait);
  void timer_fired();

  loop::Loop& loop_;
  CURLM* multi_;
  bool inside_ = false;  ///< curl is on the stack
  std::vector<std::shared_ptr<Transfer>> running_;
  std::vector<std::shared_ptr<Transfer>> entering_;  ///< started while curl was on the stack
  std::vector<Ended> leaving_;                       ///< ended while curl was on the stack
  std::vector<Socket> sockets_;                      ///< by descriptor
  bool kicked_ = false;
  std::optional<Mono> due_;  ///< when curl wants to be called
  Mono timer_at_{};
  loop::Timer timer_;
  std::shared_ptr<CurlEngine*> alive_;  ///< what `later` work holds weakly
};

/// Options that hold for all our talk with the network.
void set_common_options(CURL* easy);

/// The origin of a URL, `https://host:port`, without user, path and query: all that an error may tell of it.
std::string origin_of(std::string_view url);

/// True for failures of the handshake or the certificate: curl's own text for them says what is wrong, and no
/// address.
bool curl_error_is_about_tls(CURLcode code);

/// What went wrong, in our codes. Reads the transfer's figures from `easy`. `because` may be empty.
Error curl_error(CURL* easy, CURLcode code, std::string_view origin, std::string_view because);

/// Until when the certificate holds that the server showed to a transfer that has ended with that code. A
/// fresh connection alone tells, and only if CURLOPT_CERTINFO was set; only the server's own counts: chains
/// may carry an expired cross-signature that nobody needs.
std::optional<Wall> certificate_expiry(CURL* easy, CURLcode code);

}  // namespace katana::net
