#include "client.hpp"

#include <algorithm>
#include <charconv>

namespace sandbox {

Parse parse_reply_head(std::string_view input, ReplyHead& head) {
  const auto end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) return input.size() > kMaxHead ? Parse::TooLarge : Parse::Incomplete;
  head.status = 0;
  std::from_chars(input.data() + std::min<std::size_t>(9, end), input.data() + end, head.status);
  // With a request line instead of its status line, the head is read by the same parser as a request's.
  Request headers;
  const auto first = input.find("\r\n");
  const std::string dressed = "GET / HTTP/1.1" + std::string(input.substr(first, end + 4 - first));
  const Parse parsed = parse_head(dressed, headers, head.framing);
  head.framing.head_size = end + 4;
  head.keep_alive = headers.keep_alive;
  return parsed == Parse::Done && head.status < 200 && head.status != 100 ? Parse::Bad : parsed;
}

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
  const Parse parsed = parse_reply_head(in_.view(), head_);
  if (parsed == Parse::Incomplete) return false;
  if (parsed != Parse::Done) {
    fail("Wrong response: bad head");
    return false;
  }
  in_.consume(head_.framing.head_size);
  if (head_.status == 100) return read_head();
  head_done_ = true;
  dechunker_.reset();
  body_.clear();
  return true;
}

void ClientConnection::on_input() {
  if (!waiting_) return in_.consume(in_.size());
  if (!head_done_ && !read_head()) return;
  if (!head_.framing.chunked) {
    if (in_.size() >= head_.framing.content_length)
      done(in_.view().substr(0, head_.framing.content_length), head_.framing.content_length);
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
  if (!head_.keep_alive) leave();
  if (caller != nullptr) caller->on_reply(*this, head_.status, kept);
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

void EventStream::on_input() {
  if (!head_done_) {
    ReplyHead head;
    const Parse parsed = parse_reply_head(in_.view(), head);
    if (parsed == Parse::Incomplete) return;
    if (parsed != Parse::Done || head.status != 200 || !head.framing.chunked) return abort();
    in_.consume(head.framing.head_size);
    head_done_ = true;
  }
  std::size_t used = 0;
  const Parse parsed = dechunker_.feed(in_.view(), used, text_);
  in_.consume(used);
  std::size_t from = 0;
  for (auto end = text_.find('\n'); end != std::string::npos; end = text_.find('\n', from)) {
    std::string_view line = std::string_view(text_).substr(from, end - from);
    if (take_prefix(line, "data: ")) heard_(line);
    from = end + 1;
  }
  text_.erase(0, from);
  if (parsed != Parse::Incomplete) abort();
}

}  // namespace sandbox
