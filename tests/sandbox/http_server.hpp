#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "connection.hpp"
#include "http.hpp"
#include "record.hpp"

namespace sandbox {

class HttpServer;
class HttpConnection;

/// Somebody who holds a connection to answer it later, and must hear when the client leaves first.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void connection_gone() = 0;
};

/// What a fault does to the reply of the request in hand.
enum class Spoil { None, LoseReply, CutReply };

/// One HTTP/1.1 connection: keep-alive, pipelining (requests wait for their turn), chunked both ways. Owned
/// by its server. A handler answers with `reply`, or with `begin`, `write`… `end`, at once or later (then it
/// calls `hold`).
class HttpConnection : public Connection {
 public:
  HttpConnection(Loop& loop, int fd, HttpServer& server);

  void reply(int status, std::string_view type, std::string_view body, std::string_view more_headers = {});
  void json(int status, std::string_view body) { reply(status, "application/json", body); }

  /// `more_headers` are whole lines, each ended by CR LF.
  void begin(int status, std::string_view type, std::string_view more_headers = {});
  void write(std::string_view part);
  void end();
  /// Ends in mid-reply, by a reset or by a plain close without the last chunk.
  void cut(bool reset);

  /// Who answers later; nullptr lets go.
  void hold(Pending* pending) { pending_ = pending; }
  void spoil(Spoil how) { spoil_ = how; }
  std::uint64_t record_number() const { return record_number_; }

 protected:
  void on_input() override;
  void on_closed() override;

 private:
  bool read_request();
  void refuse(int status, std::string_view why);
  void finish(std::string_view outcome, std::size_t bytes);
  void head(int status, std::string_view type, std::string_view more_headers, std::string& out) const;

  HttpServer& server_;
  Request request_;
  Framing framing_;
  Dechunker dechunker_;
  std::string chunked_body_;
  std::size_t dechunked_ = 0;
  bool head_done_ = false;
  bool busy_ = false;
  bool head_only_ = false;
  bool recorded_kind_ = false;
  bool reading_ = false;
  bool chunked_reply_ = false;
  Spoil spoil_ = Spoil::None;
  std::size_t reply_bytes_ = 0;
  std::uint64_t record_number_ = 0;
  Pending* pending_ = nullptr;
};

/// Listens, owns the connections, records requests, and hands each to the handler.
class HttpServer {
 public:
  using Handler = std::function<void(HttpConnection&, const Request&)>;
  HttpServer(Loop& loop, Record& record, Handler handler)
      : loop_(loop), record_(record), handler_(std::move(handler)) {}
  ~HttpServer();

  /// Returns the port. With a TLS context: HTTPS.
  int listen(const std::string& address, ssl_ctx_st* tls = nullptr);
  std::size_t connections() const { return connections_.size(); }
  std::uint64_t requests() const { return requests_; }
  /// Replies with a status of 400 or more, those of the control API left out.
  std::uint64_t errors() const { return errors_; }
  std::int64_t clock_ahead = 0;  ///< of the right time, in seconds

 private:
  friend class HttpConnection;
  Loop& loop_;
  Record& record_;
  Handler handler_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<HttpConnection*, std::unique_ptr<HttpConnection>> connections_;
  std::uint64_t requests_ = 0;
  std::uint64_t errors_ = 0;
  bool closing_ = false;
};

std::string_view reason_phrase(int status);

}  // namespace sandbox
