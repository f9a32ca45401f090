#pragma once

#include <string>
#include <string_view>

#include "connection.hpp"
#include "http.hpp"

namespace sandbox {

class ClientConnection;

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
  bool keep_alive_ = true;
  int status_ = 0;
  Framing framing_;
  Dechunker dechunker_;
  std::string body_;
  Timer patience_;
};

}  // namespace sandbox
