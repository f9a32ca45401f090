#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/result.hpp"
#include "common/loop/loop.hpp"

namespace katana::net {

/// A request to our own small server. Views live until the handler returns.
struct ServerRequest {
  std::string_view method;
  std::string_view path;  ///< without the query
  std::string_view body;
  std::function<std::string_view(std::string_view name)> header;  ///< empty if absent; name in any case
  std::function<std::string_view(std::string_view name)> query;   ///< empty if absent
  std::string peer{};  ///< the other end's IP address (a proxy's, if there is one); empty if unknown
};

/// A stream of server-sent events to one client. Held by whoever feeds it; dropping it ends the stream.
class EventStream {
 public:
  virtual ~EventStream() = default;
  /// Appends bytes for the client; false once it has gone, or holds more than 4 MiB unread.
  virtual bool write(std::string_view bytes) = 0;
};

struct ServerResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};
  /// When set, the body is a stream: called once, with the stream to keep.
  std::function<void(std::shared_ptr<EventStream>)> stream{};
};

/// The small HTTP server of every process (/live, /health, /metrics, the status page, webhooks), over
/// libmicrohttpd's epoll descriptor on our loop: no thread of its own. At most 64 connections (48 of one
/// address), 1 MiB a body, 10 s idle. Handlers run on the loop and must not block.
class HttpServer {
 public:
  using Handler = std::function<ServerResponse(const ServerRequest&)>;
  /// `address` is `host:port`, `[v6]:port`; port 0 takes a free one.
  static Result<std::unique_ptr<HttpServer>> listen(loop::Loop& loop, const std::string& address,
                                                    Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::net
