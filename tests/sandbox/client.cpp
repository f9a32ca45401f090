#include "client.hpp"

#include <algorithm>
#include <charconv>

namespace sandbox {

ClientConnection::ClientConnection(Loop& loop, int fd, Caller& caller)
    : Connection(loop, fd), caller_(&caller), patience_(loop, [this] { fail("Read timeout expired"); }) {}

void ClientConnection::request(std::string_view whole, Nanos patience) {
  waiting_ = true;
  patience_.in(patience);
  send(whole);
}

void ClientConnection::leave() {
  caller_ = nullptr;
  abort();
}

/// False: more bytes are needed, or it has failed.
bool ClientConnection::read_head() {
  const std::string_view text = in_.view();
  const auto end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (text.size() > kMaxHead) fail("Wrong response: endless head");
    return false;
  }
  std::from_chars(text.data() + std::min<std::size_t>(9, end), text.data() + end, status_);
  if (status_ == 100) {
    in_.consume(end + 4);
    return read_head();
  }
  // With a request line instead of its status line, the head is read by the same parser as a request's.
  Request headers;
  const auto first = text.find("\r\n");
  const std::string dressed = "GET / HTTP/1.1" + std::string(text.substr(first, end + 4 - first));
  if (status_ < 200 || parse_head(dressed, headers, framing_) != Parse::Done) {
    fail("Wrong response: bad head");
    return false;
  }
  keep_alive_ = headers.keep_alive;
  head_done_ = true;
  dechunker_.reset();
  body_.clear();
  in_.consume(end + 4);
  return true;
}

void ClientConnection::on_input() {
  if (!waiting_) return in_.consume(in_.size());
  if (!head_done_ && !read_head()) return;
  if (!framing_.chunked) {
    if (in_.size() >= framing_.content_length)
      done(in_.view().substr(0, framing_.content_length), framing_.content_length);
    return;
  }
  std::size_t used = 0;
  const Parse parsed = dechunker_.feed(in_.view(), used, body_);
  if (parsed == Parse::Done) return done(body_, used);
  in_.consume(used);
  if (parsed != Parse::Incomplete) fail("Wrong response: bad chunks");
}

void ClientConnection::done(std::string_view body, std::size_t used) {
  waiting_ = head_done_ = false;
  patience_.cancel();
  Caller* caller = caller_;
  const std::string kept(body);  // the caller may send its next request at once
  in_.consume(used);
  if (!keep_alive_) leave();
  if (caller != nullptr) caller->on_reply(*this, status_, kept);
}

void ClientConnection::on_closed() {
  patience_.cancel();
  if (caller_ == nullptr) return;
  Caller* caller = caller_;
  caller_ = nullptr;
  caller->on_lost(*this, "Connection refused or closed");
}

void ClientConnection::fail(const char* why) {
  Caller* caller = caller_;
  caller_ = nullptr;
  abort();
  if (caller != nullptr) caller->on_lost(*this, why);
}

}  // namespace sandbox
