#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "connection.hpp"
#include "http.hpp"

namespace sandbox {

class ClientConnection;

/// What a reply begins with.
struct ReplyHead {
  int status = 0;
  bool keep_alive = true;
  Framing framing;
};

/// Reads status line and headers from the start of `input`; `framing.head_size` is their length.
Parse parse_reply_head(std::string_view input, ReplyHead& head);

/// Hears how a request went.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual void on_reply(ClientConnection& connection, int status, std::string_view body) = 0;
  /// The request in hand, if there is one, gets no reply; the connection is closed.
  virtual void on_lost(ClientConnection& connection, const char* why) = 0;
};

/// The client's side of HTTP/1.1: one kept-alive connection, one request at a time. Owned by its caller, who
/// buries it once it is closed.
class ClientConnection : public Connection {
 public:
  ClientConnection(Loop& loop, int fd, Caller& caller);
  /// `whole`: head and body.
  void request(std::string_view whole, Nanos patience);
  bool waiting() const { return waiting_; }
  /// Closes; the caller hears nothing any more.
  void leave();

 protected:
  void on_input() override;
  void on_closed() override;

 private:
  bool read_head();
  void done(std::string_view body, std::size_t used);
  void fail(const char* why);

  Caller* caller_;
  bool waiting_ = false;
  bool head_done_ = false;
  ReplyHead head_;
  Dechunker dechunker_;
  std::string body_;
  Timer patience_;
};

/// The client's side of a stream of server-sent events, until the server ends it. Owned by its listener.
class EventStream : public Connection {
 public:
  EventStream(Loop& loop, int fd, std::function<void(std::string_view)> heard, std::function<void()> gone)
      : Connection(loop, fd), heard_(std::move(heard)), gone_(std::move(gone)) {}

 protected:
  void on_input() override;
  void on_closed() override { gone_(); }

 private:
  std::function<void(std::string_view)> heard_;
  std::function<void()> gone_;
  bool head_done_ = false;
  Dechunker dechunker_;
  std::string text_;
};

}  // namespace sandbox
