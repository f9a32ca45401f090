#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/control/wire.hpp"

namespace katana::control {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Error no_connection(int error, const std::string& path) {
  if (error == ENOENT || error == ECONNREFUSED) {
    const std::string component = std::filesystem::path(path).stem().string();
    return {Code::Network, "katana-" + component + " is not running (nothing answers on " + path +
                               "); start it with: katana up (or: systemctl start katana-" + component + ")"};
  }
  if (error == EACCES) {
    return {Code::Auth,
            "you may not use " + path + "; run this as root, or as a member of the group that owns it"};
  }
  return {Code::Network, path + ": " + reason(error)};
}

/// Waits for `events`; false when the deadline is over.
bool wait_for(int fd, short events, Mono deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now()).count();
    pollfd on{fd, events, 0};
    const int n = poll(&on, 1, left > 0 ? static_cast<int>(left) : 0);
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Result<Answer> ask(const std::string& socket_path, const Request& request, Millis timeout) {
  const auto address = socket_address(socket_path);
  if (!address) return fail(address.error());
  const std::string line = write_request(request);
  if (line.size() > kMaxRequest) return fail(Code::Rejected, "the request is longer than 64 KiB");
  const Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail(no_connection(errno, socket_path));
  }
  const Mono deadline = std::chrono::steady_clock::now() + timeout;
  const auto too_late = [&] { return fail(Code::Timeout, "no answer on " + socket_path + " in time"); };
  for (std::size_t sent = 0; sent < line.size();) {
    if (!wait_for(fd.get(), POLLOUT, deadline)) return too_late();
    const ssize_t n = send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) break;  // closed on us: what it said before that is worth reading
    sent += static_cast<std::size_t>(n);
  }
  std::string answer;
  std::array<char, 16384> part{};
  while (answer.size() <= kMaxAnswer) {
    if (!wait_for(fd.get(), POLLIN, deadline)) return too_late();
    const ssize_t n = recv(fd.get(), part.data(), part.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0)
      return fail(Code::Network, "the connection to " + socket_path + " was closed without an answer");
    answer.append(part.data(), static_cast<std::size_t>(n));
    const auto end = answer.find('\n');
    if (end != std::string::npos) return read_answer(std::string_view(answer).substr(0, end));
  }
  return fail(Code::Malformed, "the answer is longer than 1 MiB");
}

}  // namespace katana::control
