#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/core/secret.hpp"

namespace katana::net {

/// One HTTP request. Nothing of it is ever logged by this room: a bot's token stands in the URL's path, and
/// keys stand in headers.
struct HttpRequest {
  std::string method = "POST";
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  std::string body;
  Secret proxy;              ///< `http://…` or `socks5h://…`; empty: none (the environment's is ignored)
  bool allow_plain = false;  ///< `http://` is refused unless the operator set such a base URL
  Millis connect_timeout{5'000};   ///< DNS, TCP and TLS
  Millis total_timeout{60'000};    ///< everything; 0: none
  Millis stall_timeout{0};         ///< longest silence once the request is sent; 0: none. Whole seconds.
  std::size_t max_body = 8 << 20;  ///< bytes of answer; above it the call ends as Malformed
};

struct HttpHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  /// The first header of that (lower-case) name, or empty.
  [[nodiscard]] std::string_view find(std::string_view name) const;
};

struct HttpResponse {
  HttpHead head;
  std::string body;  ///< empty when on_data took it
};

/// Callbacks of a call, on the loop, never inside `start`. `on_done` comes exactly once unless the call is
/// dropped before. Any HTTP status is a success here: what it means is the caller's protocol.
struct HttpEvents {
  std::function<void(const HttpHead&)> on_head;   ///< optional
  std::function<void(std::string_view)> on_data;  ///< optional: the body in pieces, as they arrive
  std::function<void(Result<HttpResponse>)> on_done;
};

/// A call under way. Dropping it ends it: the connection is closed and no callback follows (also from inside
/// one).
class HttpCall {
 public:
  struct State {
    virtual ~State() = default;
    virtual void cancel() = 0;
  };
  HttpCall() = default;
  explicit HttpCall(std::shared_ptr<State> state) : state_(std::move(state)) {}
  HttpCall(HttpCall&&) noexcept = default;
  HttpCall& operator=(HttpCall&& other) noexcept;
  ~HttpCall();
  void cancel();
  explicit operator bool() const { return state_ != nullptr; }

 private:
  std::shared_ptr<State> state_;
};

/// Port: where HTTP goes out. Tests put a stand-in here; `CurlClient` is the real one.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual HttpCall start(HttpRequest request, HttpEvents events) = 0;
};

}  // namespace katana::net
