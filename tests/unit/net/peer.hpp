#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop/loop.hpp"

namespace katana::net {

/// Turns the loop until `done`, for at most 30 s. `look` is how often `done` is asked at least.
template <class Done>
bool drive(loop::Loop& loop, Done done, Millis look = Millis{100}) {
  const auto end = std::chrono::steady_clock::now() + Seconds{30};
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.run_once(look);
  }
  return true;
}

/// A hand-written TCP server on the test's own loop, for behaviour that no decent server shows.
class Peer {
 public:
  struct Conn {
    int fd = -1;
    std::string in;  ///< all that came, less what the script took
    loop::Handle watch;
    bool closed = false;

    void say(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(n));
      }
    }
    void hang_up() {
      watch.reset();
      if (fd >= 0) ::close(fd);
      fd = -1;
      closed = true;
    }
    /// Closes with a reset instead of a goodbye.
    void slam() {
      const linger now{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      hang_up();
    }
  };
  using Script = std::function<void(Conn&)>;

  /// `on_bytes` runs whenever a client said something; `on_open` once it has come.
  Peer(loop::Loop& loop, Script on_bytes, Script on_open = nullptr)
      : loop_(loop), on_bytes_(std::move(on_bytes)), on_open_(std::move(on_open)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1024), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    watch_ = loop_.watch(fd_, loop::Io::Read, [this](loop::Ready) { accept_all(); });
  }
  ~Peer() {
    for (auto& conn : conns)
      conn->hang_up();
    watch_.reset();
    ::close(fd_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string origin(const char* scheme = "http") const {
    return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
  }

  std::vector<std::unique_ptr<Conn>> conns;  ///< every connection that ever came

 private:
  void accept_all() {
    for (int fd = 0; (fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      conns.push_back(std::make_unique<Conn>());
      Conn& conn = *conns.back();
      conn.fd = fd;
      conn.watch = loop_.watch(fd, loop::Io::Read, [this, &conn](loop::Ready) { read_some(conn); });
      if (on_open_) on_open_(conn);
    }
  }
  void read_some(Conn& conn) {
    char buffer[65536];
    const ssize_t n = ::recv(conn.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) {
      conn.in.append(buffer, static_cast<std::size_t>(n));
      on_bytes_(conn);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      conn.hang_up();
    }
  }

  loop::Loop& loop_;
  Script on_bytes_;
  Script on_open_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  loop::Handle watch_;
};

/// Takes one whole request (head and body by its Content-Length) from what came; empty if it isn't whole yet.
inline std::string take_request(Peer::Conn& conn) {
  const auto head_end = conn.in.find("\r\n\r\n");
  if (head_end == std::string::npos) return {};
  std::size_t length = 0;
  if (const auto at = conn.in.find("Content-Length: "); at < head_end)
    length = std::stoul(conn.in.substr(at + 16));
  const std::size_t whole = head_end + 4 + length;
  if (conn.in.size() < whole) return {};
  std::string request = conn.in.substr(0, whole);
  conn.in.erase(0, whole);
  return request;
}

inline std::string answer(std::string_view body, std::string_view more_headers = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_headers) + "\r\n" + std::string(body);
}

}  // namespace katana::net
