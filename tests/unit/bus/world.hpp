#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bus/zmq_bus.hpp"
#include "common/loop/loop.hpp"

namespace katana::bus {

/// A fresh directory, gone at the end.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "katana-bus-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string ipc(const std::string& name) const { return "ipc://" + (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Drives `loop` until `happened`, for at most 30 s; false if it never does.
template <class Happened>
bool drive(loop::Loop& loop, Happened happened) {
  const auto give_up = std::chrono::steady_clock::now() + Seconds{30};
  while (!happened()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    loop.run_once(Millis{5});  // short: what `later` did before the wait isn't seen until after it
  }
  return true;
}

/// `tcp://127.0.0.1:PORT` with a port that was free a moment ago.
inline std::string free_tcp() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

}  // namespace katana::bus
