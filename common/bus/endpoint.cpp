#include "common/bus/endpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace katana::bus {
namespace {

constexpr std::string_view kIpc = "ipc://";
constexpr std::string_view kTcp = "tcp://";
constexpr std::size_t kMaxPath = sizeof(sockaddr_un{}.sun_path) - 1;

std::string reason(int error) {
  return std::system_category().message(error);
}

tl::unexpected<Error> refuse(const std::string& text, std::string_view why) {
  return fail(Code::Rejected, "endpoint '" + text + "': " + std::string(why));
}

Result<Endpoint> parse_ipc(const std::string& text) {
  const std::string path = text.substr(kIpc.size());
  if (path.empty()) return refuse(text, "it needs a path, such as ipc:///run/katana/bus.sock");
  if (path.front() == '@' || path.front() == '*') {
    return refuse(text, "only a path in the file system is allowed, so that its mode can guard it");
  }
  if (path.size() > kMaxPath) {
    return refuse(text,
                  "its path is over " + std::to_string(kMaxPath) + " bytes; choose a shorter KATANA_RUN_DIR");
  }
  return Endpoint{Endpoint::Kind::Ipc, path, text};
}

Result<Endpoint> parse_tcp(const std::string& text, Endpoint::Use use) {
  const std::string_view rest = std::string_view(text).substr(kTcp.size());
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return refuse(text, "it needs the form tcp://HOST:PORT");
  const std::string_view host = rest.substr(0, colon);
  const std::string_view digits = rest.substr(colon + 1);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port < 1 || port > 65535) {
    return refuse(text, "its port isn't a number from 1 to 65535");
  }
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return refuse(text, "an IPv6 address stands in brackets: tcp://[::1]:5555");
  }
  const bool odd = std::any_of(host.begin(), host.end(),
                               [](char c) { return c <= ' ' || c > '~' || c == '/' || c == ';'; });
  if (odd) return refuse(text, "its host holds a character that no host has");
  if (use == Endpoint::Use::Connect && host == "*")
    return refuse(text, "to connect it needs a host instead of *");
  return Endpoint{Endpoint::Kind::Tcp, {}, text};
}

/// Whether anybody accepts connections on a Unix socket.
bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), kMaxPath));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;  // can't tell: better refuse than take the path over
  const int status = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = status == 0 ? 0 : errno;
  ::close(fd);
  return error != ECONNREFUSED && error != ENOENT;
}

}  // namespace

Result<Endpoint> parse_endpoint(const std::string& text, Endpoint::Use use) {
  if (text.starts_with(kIpc)) return parse_ipc(text);
  if (text.starts_with(kTcp)) return parse_tcp(text, use);
  return refuse(text, "it needs to begin with ipc:// or tcp://");
}

Result<void> clear_stale_socket(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) {
      const auto parent = std::filesystem::path(path).parent_path();
      if (parent.empty() || ::access(parent.c_str(), F_OK) == 0) return {};
      return fail(Code::Rejected,
                  "no directory " + parent.string() + " for the socket; make it, or set KATANA_RUN_DIR");
    }
    return fail(Code::Internal, "cannot look at " + path + ": " + reason(errno));
  }
  if (!S_ISSOCK(found.st_mode))
    return fail(Code::Rejected, path + " is there and isn't a socket; move it away");
  if (somebody_listens(path))
    return fail(Code::Rejected, "another process already serves " + path + "; stop it first");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail(Code::Internal, "cannot remove the stale socket " + path + ": " + reason(errno));
  }
  return {};
}

Result<void> restrict_socket(const std::string& path) {
  if (::chmod(path.c_str(), 0660) == 0) return {};
  return fail(Code::Internal, "cannot set the mode of " + path + ": " + reason(errno));
}

}  // namespace katana::bus
