#include "connection.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sandbox {
namespace {

constexpr std::size_t kMaxUnsent = 256U << 20;
constexpr std::size_t kKeepCapacity = 16384;

sockaddr_in parse_address(const std::string& address, std::string& host) {
  const auto colon = address.rfind(':');
  int port = -1;
  if (colon != std::string::npos) {
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
    host = address.substr(0, colon);
  }
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  if (port < 0 || port > 65535 || inet_pton(AF_INET, host.c_str(), &where.sin_addr) != 1) {
    throw std::runtime_error("address '" + address + "' is not of the form 127.0.0.1:PORT");
  }
  return where;
}

}  // namespace

char* InputBuffer::prepare(std::size_t room) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (data_ != nullptr && capacity_ - end_ >= room) return data_.get() + end_;
  const std::size_t used = size();
  if (data_ != nullptr && begin_ > 0 && capacity_ - used >= room && begin_ >= capacity_ / 2) {
    std::memmove(data_.get(), data_.get() + begin_, used);
  } else {
    const std::size_t capacity = std::max(used + room, capacity_ * 2);
    std::unique_ptr<char[]> grown(new char[capacity + kPadding]);
    if (used > 0) std::memcpy(grown.get(), data_.get() + begin_, used);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = used;
  return data_.get() + end_;
}

void InputBuffer::consume(std::size_t count) {
  begin_ += count;
  if (begin_ == end_ &&
      capacity_ > kKeepCapacity * 4) {  // a big upload is over: thousands of connections may be open
    data_.reset();
    capacity_ = begin_ = end_ = 0;
  }
}

Connection::Connection(Loop& loop, int fd) : loop_(loop), fd_(fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  wanted_ = EPOLLIN;
  loop_.watch(fd, wanted_, this);
}

Connection::~Connection() {
  loop_.undefer(this);
  if (tls_ != nullptr) SSL_free(tls_);
  if (fd_ >= 0) ::close(fd_);
}

std::string& Connection::output() {
  loop_.defer(this);
  return out_;
}

void Connection::start_tls(ssl_ctx_st* context) {
  flush();  // what was said in the clear leaves in the clear
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, fd_);
  SSL_set_accept_state(tls_);
  shaking_hands_ = true;
}

void Connection::close_when_sent() {
  closing_ = true;
  loop_.defer(this);
}

void Connection::abort(bool reset) {
  if (fd_ < 0) return;
  if (reset) {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  loop_.forget(fd_);
  ::close(fd_);
  fd_ = -1;
  out_.clear();
  resume_.reset();
  on_closed();
}

void Connection::slice_output(std::size_t bytes, Nanos gap) {
  slice_ = bytes;
  slice_gap_ = gap;
}

void Connection::hold_output_until(Nanos moment) {
  if (resume_ == nullptr) {
    resume_ = std::make_unique<Timer>(loop_, [this] { flush(); });
  }
  resume_->at(moment);
}

void Connection::want(std::uint32_t events) {
  if (events == wanted_ || fd_ < 0) return;
  wanted_ = events;
  loop_.change(fd_, events, this);
}

bool Connection::shake_hands() {
  const int result = SSL_do_handshake(tls_);
  if (result == 1) {
    shaking_hands_ = false;
    want(EPOLLIN);
    loop_.defer(this);  // a greeting may wait
    return true;
  }
  const int why = SSL_get_error(tls_, result);
  if (why == SSL_ERROR_WANT_READ) {
    want(EPOLLIN);
  } else if (why == SSL_ERROR_WANT_WRITE) {
    want(EPOLLOUT);
  } else {
    ERR_clear_error();
    abort();
  }
  return false;
}

void Connection::on_ready(std::uint32_t events) {
  if (fd_ < 0) return;
  if (shaking_hands_ && !shake_hands()) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive();
  if (fd_ >= 0 && (events & EPOLLOUT) != 0) flush();
}

void Connection::receive() {
  for (;;) {
    char* room = in_.prepare(4096);
    ssize_t count = 0;
    if (tls_ != nullptr) {
      count = SSL_read(tls_, room, static_cast<int>(std::min<std::size_t>(in_.room(), 1U << 20)));
      if (count <= 0) {
        const int why = SSL_get_error(tls_, static_cast<int>(count));
        ERR_clear_error();
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return;
        abort();
        return;
      }
    } else {
      count = ::recv(fd_, room, in_.room(), 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (count <= 0) {
        abort();
        return;
      }
    }
    const bool filled = static_cast<std::size_t>(count) == in_.room();
    in_.commit(static_cast<std::size_t>(count));
    on_input();
    if (fd_ < 0 || (shaking_hands_ && tls_ != nullptr)) return;
    if (!filled && (tls_ == nullptr || SSL_pending(tls_) == 0)) return;
  }
}

bool Connection::write_some() {
  std::size_t size = out_.size() - sent_;
  if (slice_ > 0) size = std::min(size, slice_);
  ssize_t count = 0;
  if (tls_ != nullptr) {
    count = SSL_write(tls_, out_.data() + sent_, static_cast<int>(std::min<std::size_t>(size, 1U << 20)));
    if (count <= 0) {
      const int why = SSL_get_error(tls_, static_cast<int>(count));
      ERR_clear_error();
      if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) {
        want(EPOLLIN | EPOLLOUT);
      } else {
        abort();
      }
      return false;
    }
  } else {
    count = ::send(fd_, out_.data() + sent_, size, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        want(EPOLLIN | EPOLLOUT);
      } else {
        abort();
      }
      return false;
    }
  }
  sent_ += static_cast<std::size_t>(count);
  return true;
}

void Connection::flush() {
  if (fd_ < 0 || shaking_hands_) return;
  if (muted_) {
    out_.clear();
    sent_ = 0;
    return;
  }
  if (resume_ != nullptr && resume_->armed()) return;
  if (out_.size() > kMaxUnsent) {
    abort();
    return;
  }
  while (sent_ < out_.size()) {
    if (!write_some()) return;
    if (slice_ > 0 && sent_ < out_.size()) {
      hold_output_until(now_ns() + slice_gap_);
      return;
    }
  }
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > kKeepCapacity * 4) out_.shrink_to_fit();
  want(EPOLLIN);
  if (closing_) {
    if (tls_ != nullptr) SSL_shutdown(tls_);
    abort();
  }
}

Listener::Listener(Loop& loop, const std::string& address, std::function<void(int)> accepted)
    : loop_(loop), accepted_(std::move(accepted)) {
  sockaddr_in where = parse_address(address, host_);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd_ < 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      ::listen(fd_, 4096) != 0) {
    const std::string why = std::strerror(errno);
    if (fd_ >= 0) ::close(fd_);
    throw std::runtime_error("can't listen on " + address + ": " + why);
  }
  socklen_t length = sizeof where;
  getsockname(fd_, reinterpret_cast<sockaddr*>(&where), &length);
  port_ = ntohs(where.sin_port);
  loop_.watch(fd_, EPOLLIN, this);
}

Listener::~Listener() {
  ::close(fd_);
}

void Listener::on_ready(std::uint32_t) {
  for (;;) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    accepted_(fd);
  }
}

int connect_loopback(const std::string& host, int port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &where.sin_addr) != 1) return -1;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return -1;
  }
  return fd;
}

}  // namespace sandbox
