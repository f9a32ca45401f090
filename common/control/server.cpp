#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <system_error>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/control/control.hpp"
#include "common/control/wire.hpp"
#include "common/log/log.hpp"

namespace katana::control {
namespace {

constexpr log::Room kLog{"control"};

constexpr std::size_t kMaxConnections = 32;
constexpr int kBacklog = 16;
constexpr mode_t kMode = 0660;
constexpr Millis kRequestTime{10'000};
constexpr Millis kAcceptPause{1'000};
constexpr int kStatusBad = 2;

std::string reason(int error) {
  return std::generic_category().message(error);
}

/// True for root, our own user, and members of the group that owns the socket. The file's mode says the same;
/// this holds also where somebody has changed it.
bool may_ask(int fd, gid_t group) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == group) return true;
  std::array<gid_t, 1024> groups{};
  size = sizeof(groups);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  const auto end = groups.begin() + static_cast<std::ptrdiff_t>(size / sizeof(gid_t));
  return std::find(groups.begin(), end, group) != end;
}

/// Removes a socket that a dead process left behind; an error when a living one answers, or it is no socket.
Result<void> clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return fail(Code::Rejected, path + " exists and is not a socket");
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int error =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(probe);
  if (error != ECONNREFUSED) return fail(Code::Rejected, "another process answers on " + path + " already");
  unlink(path.c_str());
  return {};
}

}  // namespace

struct ControlServer::Impl : std::enable_shared_from_this<ControlServer::Impl> {
  /// One asker: reads a line, hands it on, writes the answer, closes.
  struct Connection {
    int fd = -1;
    std::string in, out;
    bool asked = false;
    loop::Handle watch;
    loop::Timer limit;
    Connection() = default;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() {
      watch.reset();
      if (fd >= 0) close(fd);
    }
  };
  using Id = std::uint64_t;

  Impl(loop::Loop& l, std::string p, Handler h) : loop(l), path(std::move(p)), handler(std::move(h)) {}
  ~Impl() {
    connections.clear();
    listening.reset();
    if (fd >= 0) close(fd);
    struct stat info {};
    if (inode != 0 && lstat(path.c_str(), &info) == 0 && info.st_ino == inode) unlink(path.c_str());
  }

  Result<void> open();
  void listen_again();
  void accept_all();
  void welcome(int client);
  void on_ready(Id id, loop::Ready ready);
  void read_more(Id id, Connection& c);
  void take_request(Id id, Connection& c, std::string_view line);
  void answer(Id id, const Answer& answer);
  void write_more(Id id, Connection& c);

  loop::Loop& loop;
  std::string path;
  Handler handler;
  int fd = -1;
  gid_t group = 0;
  ino_t inode = 0;
  loop::Handle listening;
  loop::Timer pause;
  std::map<Id, std::unique_ptr<Connection>> connections;
  Id next_id = 1;
};

Result<void> ControlServer::Impl::open() {
  const auto address = socket_address(path);
  if (!address) return fail(address.error());
  if (auto cleared = clear_stale(path, *address); !cleared) return cleared;
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(Code::Internal, path + ": " + reason(errno));
  // Nobody gets in between `bind` and `chmod`.
  const mode_t before = umask(0177);
  const int bound = bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
  const int error = errno;
  umask(before);
  if (bound != 0) return fail(Code::Internal, "cannot listen on " + path + ": " + reason(error));
  struct stat info {};
  if (chmod(path.c_str(), kMode) != 0 || lstat(path.c_str(), &info) != 0 || ::listen(fd, kBacklog) != 0) {
    return fail(Code::Internal, "cannot listen on " + path + ": " + reason(errno));
  }
  group = info.st_gid;
  inode = info.st_ino;
  listen_again();
  return {};
}

void ControlServer::Impl::listen_again() {
  listening = loop.watch(fd, loop::Io::Read, [this](loop::Ready) { accept_all(); });
}

void ControlServer::Impl::accept_all() {
  for (;;) {
    const int client = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
      welcome(client);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    // No descriptors left: the connection keeps waiting, and the loop must not spin on it.
    kLog.error("Cannot take a connection on {}: {}", path, reason(errno));
    listening.reset();
    pause = loop.after(kAcceptPause, [this] { listen_again(); });
    return;
  }
}

void ControlServer::Impl::welcome(int client) {
  if (connections.size() >= kMaxConnections || !may_ask(client, group)) {
    kLog.warn("A connection on {} was refused: {}", path,
              connections.size() >= kMaxConnections ? "too many at once" : "its user is not allowed");
    close(client);
    return;
  }
  const Id id = next_id++;
  auto& c = connections[id] = std::make_unique<Connection>();
  c->fd = client;
  c->watch = loop.watch(client, loop::Io::Read, [this, id](loop::Ready r) { on_ready(id, r); });
  c->limit = loop.after(kRequestTime, [this, id] { connections.erase(id); });
}

void ControlServer::Impl::on_ready(Id id, loop::Ready ready) {
  const auto at = connections.find(id);
  if (at == connections.end()) return;
  if (!at->second->out.empty()) {
    write_more(id, *at->second);
  } else if (ready.readable || ready.failed) {
    read_more(id, *at->second);
  }
}

void ControlServer::Impl::read_more(Id id, Connection& c) {
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t n = recv(c.fd, part.data(), part.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      connections.erase(id);  // gone; an answer that is still under way finds nobody
      return;
    }
    if (c.asked) continue;  // one request a connection; the rest is read to notice the end
    c.in.append(part.data(), static_cast<std::size_t>(n));
    const auto end = c.in.find('\n');
    if (end != std::string::npos) return take_request(id, c, std::string_view(c.in).substr(0, end));
    if (c.in.size() > kMaxRequest) {
      c.asked = true;
      return answer(id, Answer{kStatusBad, "The request is longer than 64 KiB."});
    }
  }
}

void ControlServer::Impl::take_request(Id id, Connection& c, std::string_view line) {
  c.asked = true;
  c.limit.reset();
  auto request = read_request(line);
  if (!request) return answer(id, Answer{kStatusBad, "Not understood: " + request.error().detail + "."});
  kLog.info("Asked: {}", request->verb);
  handler(*request, [weak = weak_from_this(), id](const Answer& a) {
    if (const auto self = weak.lock()) self->answer(id, a);
  });
}

void ControlServer::Impl::answer(Id id, const Answer& answer) {
  const auto at = connections.find(id);
  if (at == connections.end() || !at->second->out.empty()) return;
  Connection& c = *at->second;
  c.out = write_answer(answer);
  if (c.out.size() > kMaxAnswer) c.out = write_answer({1, "The answer is longer than 1 MiB; ask for less."});
  c.limit = loop.after(kRequestTime, [this, id] { connections.erase(id); });
  write_more(id, c);
}

void ControlServer::Impl::write_more(Id id, Connection& c) {
  while (!c.out.empty()) {
    const ssize_t n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      c.watch = loop.watch(c.fd, loop::Io::Write, [this, id](loop::Ready r) { on_ready(id, r); });
      return;
    }
    if (n < 0) break;
    c.out.erase(0, static_cast<std::size_t>(n));
  }
  connections.erase(id);
}

ControlServer::ControlServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::listen(loop::Loop& loop, const std::string& path,
                                                             Handler handler) {
  auto impl = std::make_shared<Impl>(loop, path, std::move(handler));
  if (auto opened = impl->open(); !opened) return fail(opened.error());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

}  // namespace katana::control
