#include "http_server.hpp"

#include <charconv>
#include <ctime>

namespace sandbox {
namespace {

/// The end of a header line, and a Date of this second, so many seconds ahead: clients learn the server's
/// clock by it.
std::string_view date_line(std::int64_t ahead) {
  static std::int64_t written = -1;
  static char line[48];
  static std::size_t size = 0;
  if (const std::int64_t now = wall_seconds() + ahead; now != written) {
    written = now;
    const std::time_t seconds = now;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    size = std::strftime(line, sizeof line, "\r\nDate: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  }
  return {line, size};
}

void append_number(std::string& out, std::size_t number, int base = 10) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
  out.append(digits, end);
}

constexpr std::size_t kMaxPipelined = 8U << 20;

/// Requests that people and tests send to the sandbox itself are no part of what the product did.
bool worth_recording(std::string_view path) {
  return path != "/" && path.substr(0, 9) != "/control/";
}

}  // namespace

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Request Entity Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

HttpConnection::HttpConnection(Loop& loop, int fd, HttpServer& server)
    : Connection(loop, fd), server_(server) {}

void HttpConnection::on_input() {
  if (reading_) return;
  reading_ = true;
  while (is_open() && !busy_ && read_request()) {
  }
  reading_ = false;
  if (busy_ && in_.size() > kMaxPipelined) abort();
}

/// Takes one request from the input and runs it. False: more bytes are needed.
bool HttpConnection::read_request() {
  if (!head_done_) {
    if (in_.empty()) return false;
    const Parse parsed = parse_head(in_.view(), request_, framing_);
    if (parsed == Parse::Incomplete) return false;
    if (parsed != Parse::Done) {
      refuse(parsed == Parse::TooLarge ? (framing_.content_length > kMaxBody ? 413 : 431) : 400,
             "bad request head");
      return false;
    }
    head_done_ = true;
    dechunker_.reset();
    dechunked_ = 0;
    chunked_body_.clear();
    if (framing_.expects_continue && in_.size() < framing_.head_size + framing_.content_length) {
      send("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }
  std::size_t used = framing_.head_size + framing_.content_length;
  if (framing_.chunked) {
    // Nothing is consumed before the body is whole, so that the views into the head stay good.
    std::size_t taken = 0;
    const Parse parsed =
        dechunker_.feed(in_.view().substr(framing_.head_size + dechunked_), taken, chunked_body_);
    dechunked_ += taken;
    if (parsed == Parse::Incomplete) {
      if (in_.size() > kMaxBody * 2) refuse(413, "body too large");
      return false;
    }
    if (parsed != Parse::Done) {
      refuse(parsed == Parse::TooLarge ? 413 : 400, "bad chunked body");
      return false;
    }
    used = framing_.head_size + dechunked_;
  } else if (in_.size() < used) {
    in_.prepare(std::min<std::size_t>(used - in_.size(), 1U << 20));
    return false;
  }
  if (in_.view().data() != request_.method.data()) {  // the buffer moved since the head was read
    parse_head(in_.view(), request_, framing_);
  }
  if (framing_.chunked) {
    chunked_body_.reserve(chunked_body_.size() +
                          InputBuffer::kPadding);  // the JSON parser reads a little further
    request_.body = chunked_body_;
  } else {
    request_.body = in_.view().substr(framing_.head_size, framing_.content_length);
  }
  head_only_ = request_.method == "HEAD";
  request_.received = now_ns();
  busy_ = true;
  spoil_ = Spoil::None;
  reply_bytes_ = 0;
  ++server_.requests_;
  recorded_kind_ = worth_recording(request_.path);
  record_number_ = recorded_kind_ ? server_.record_.begin(request_) : 0;
  request_.record = record_number_;
  server_.handler_(*this, request_);
  if (!is_open()) return false;
  head_done_ = false;
  in_.consume(used);
  return true;
}

void HttpConnection::refuse(int status, std::string_view why) {
  request_.keep_alive = false;
  busy_ = true;
  reply(status, "text/plain", why);
}

void HttpConnection::head(int status, std::string_view type, std::string_view more_headers,
                          std::string& out) const {
  out += request_.old_http ? "HTTP/1.0 " : "HTTP/1.1 ";
  append_number(out, static_cast<std::size_t>(status));
  out += ' ';
  out += reason_phrase(status);
  out += "\r\nContent-Type: ";
  out += type;
  out += date_line(server_.clock_ahead);
  out += more_headers;
  if (!request_.keep_alive) out += "Connection: close\r\n";
}

void HttpConnection::reply(int status, std::string_view type, std::string_view body,
                           std::string_view more_headers) {
  if (!is_open()) return;
  if (Entry* entry = server_.record_.find(record_number_)) entry->status = status;
  if (recorded_kind_ && status >= 400) ++server_.errors_;
  if (spoil_ == Spoil::LoseReply) {
    cut(false);
    return;
  }
  std::string& out = output();
  if (spoil_ == Spoil::CutReply) body = body.substr(0, body.size() / 2);
  head(status, type, more_headers, out);
  out += "Content-Length: ";
  append_number(out, body.size());
  out += "\r\n\r\n";
  if (!head_only_) out += body;
  finish("answered", body.size());
}

void HttpConnection::begin(int status, std::string_view type, std::string_view more_headers) {
  if (!is_open()) return;
  if (Entry* entry = server_.record_.find(record_number_)) entry->status = status;
  chunked_reply_ = !request_.old_http;
  std::string& out = output();
  head(status, type, more_headers, out);
  out += chunked_reply_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
}

void HttpConnection::write(std::string_view part) {
  if (!is_open() || part.empty()) return;
  std::string& out = output();
  reply_bytes_ += part.size();
  if (!chunked_reply_) {
    out += part;
    return;
  }
  append_number(out, part.size(), 16);
  out += "\r\n";
  out += part;
  out += "\r\n";
}

void HttpConnection::end() {
  if (!is_open()) return;
  if (chunked_reply_) output() += "0\r\n\r\n";
  finish("streamed", reply_bytes_);
}

void HttpConnection::cut(bool reset) {
  if (!is_open()) return;
  if (Entry* entry = server_.record_.find(record_number_)) entry->outcome = "cut";
  pending_ = nullptr;
  if (reset) {
    flush();  // what was written so far does leave
    abort(true);
  } else {
    record_number_ = 0;
    close_when_sent();
  }
}

void HttpConnection::finish(std::string_view outcome, std::size_t bytes) {
  if (Entry* entry = server_.record_.find(record_number_)) {
    entry->outcome = outcome;
    entry->answered = now_ns();
    entry->reply_bytes = bytes;
  }
  record_number_ = 0;
  pending_ = nullptr;
  busy_ = false;
  if (!request_.keep_alive) {
    busy_ = true;
    close_when_sent();
  } else if (!reading_ && !in_.empty()) {
    on_input();
  }
}

void HttpConnection::on_closed() {
  if (Entry* entry = server_.record_.find(record_number_); entry != nullptr && entry->outcome == "waiting") {
    entry->outcome = "gone";
    entry->answered = now_ns();
  }
  if (pending_ != nullptr) {
    Pending* pending = pending_;
    pending_ = nullptr;
    pending->connection_gone();
  }
  if (server_.closing_) return;
  const auto found = server_.connections_.find(this);
  if (found == server_.connections_.end()) return;
  loop_.bury(std::move(found->second));
  server_.connections_.erase(found);
}

HttpServer::~HttpServer() {
  closing_ = true;
}

int HttpServer::listen(const std::string& address, ssl_ctx_st* tls) {
  listeners_.push_back(std::make_unique<Listener>(loop_, address, [this, tls](int fd) {
    auto connection = std::make_unique<HttpConnection>(loop_, fd, *this);
    if (tls != nullptr) connection->start_tls(tls);
    HttpConnection* key = connection.get();
    connections_.emplace(key, std::move(connection));
  }));
  return listeners_.back()->port();
}

}  // namespace sandbox
