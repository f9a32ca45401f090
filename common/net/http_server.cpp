#include "common/net/http_server.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace katana::net {
namespace {

constexpr unsigned kConnections = 64;
constexpr std::size_t kStreams = kConnections / 2;  // so that open pages can't shut out /live and /metrics
constexpr unsigned kConnectionsOfOne = 48;          // so that no single address can shut the others out
constexpr unsigned kIdleSeconds = 10;
constexpr std::size_t kMaxBody = 1 << 20;
constexpr std::size_t kMaxUnread = 4 << 20;
constexpr Millis kStreamBeat{15'000};

/// A stream as the server sees it. Held by the client's response and by its EventStream; loop thread only.
struct StreamState {
  MHD_Connection* connection = nullptr;  ///< null: the client has gone
  std::function<void()> turn_soon;       ///< of the server; usable as long as `connection` is
  std::string unread;
  bool ended = false;
  bool suspended = false;

  /// A suspended connection costs nothing, and isn't watched either: it goes on when there is something to
  /// send.
  void go_on() {
    if (connection == nullptr || !suspended) return;
    suspended = false;
    MHD_resume_connection(connection);
    turn_soon();  // MHD without a thread has nobody to tell of it
  }
  bool write(std::string_view bytes) {
    if (connection == nullptr || ended || unread.size() + bytes.size() > kMaxUnread) return false;
    unread.append(bytes);
    go_on();
    return true;
  }
  void end() {
    ended = true;
    go_on();
  }
  ssize_t read(char* into, std::size_t room) {
    if (!unread.empty()) {
      const std::size_t n = std::min(room, unread.size());
      std::memcpy(into, unread.data(), n);
      unread.erase(0, n);
      return static_cast<ssize_t>(n);
    }
    if (ended) return MHD_CONTENT_READER_END_OF_STREAM;
    suspended = true;
    MHD_suspend_connection(connection);
    return 0;
  }
};

class ServedStream final : public EventStream {
 public:
  explicit ServedStream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
  ~ServedStream() override { state_->end(); }
  bool write(std::string_view bytes) override { return state_->write(bytes); }

 private:
  std::shared_ptr<StreamState> state_;
};

/// A request while its body arrives.
struct Arriving {
  std::string body;
};

using Response = std::unique_ptr<MHD_Response, decltype(&MHD_destroy_response)>;

Response whole(const std::string& body) {
  // MHD copies the bytes: it only reads from the pointer.
  return {MHD_create_response_from_buffer(body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY),
          &MHD_destroy_response};
}

struct Address {
  std::string host;
  std::string port;
};

std::optional<Address> split_address(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  Address out{address.substr(0, colon), address.substr(colon + 1)};
  if (out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  } else if (out.host.find(':') != std::string::npos) {
    return std::nullopt;  // an IPv6 address needs its brackets
  }
  unsigned port = 0;
  const char* end = out.port.data() + out.port.size();
  const auto [stop, error] = std::from_chars(out.port.data(), end, port);
  if (error != std::errc{} || stop != end || port > 65535) return std::nullopt;
  return out;
}

Result<int> open_socket(const std::string& address) {
  const auto parts = split_address(address);
  if (!parts) return fail(Code::Rejected, "'" + address + "' isn't host:port or [v6]:port");
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int e = getaddrinfo(parts->host.c_str(), parts->port.c_str(), &hints, &found); e != 0) {
    return fail(Code::Rejected, "listening on " + address + ": " + gai_strerror(e));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(found, &freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(Code::Internal, "listening on " + address + ": " + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 128) != 0) {
    const int error = errno;
    ::close(fd);
    return fail(Code::Internal, "listening on " + address + ": " + std::strerror(error));
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  char port[8] = "";
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, port, sizeof port, NI_NUMERICSERV) !=
          0) {
    return 0;
  }
  std::uint16_t out = 0;
  std::from_chars(port, port + std::strlen(port), out);
  return out;
}

std::string peer_of(MHD_Connection* connection) {
  const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info == nullptr || info->client_addr == nullptr) return {};
  const sockaddr* address = info->client_addr;
  const socklen_t size = address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  char host[NI_MAXHOST] = "";
  if (getnameinfo(address, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) return {};
  return host;
}

}  // namespace

struct HttpServer::Impl {
  Impl(loop::Loop& l, Handler h) : loop(l), handler(std::move(h)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  bool start(int fd);
  void turn();
  void beat();
  MHD_Result serve(MHD_Connection* connection, const char* url, const char* method, Arriving& request);
  MHD_Result reply(MHD_Connection* connection, const ServerResponse& response);
  Response stream_to(MHD_Connection* connection, std::shared_ptr<StreamState>& state);
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                               const char*, const char* data, std::size_t* size, void** request);
  static void on_completed(void*, MHD_Connection*, void** request, MHD_RequestTerminationCode);

  loop::Loop& loop;
  Handler handler;
  MHD_Daemon* daemon = nullptr;
  std::uint16_t port = 0;
  std::vector<std::weak_ptr<StreamState>> streams;
  loop::Handle watch;
  loop::Timer timer;
  loop::Timer beats;  ///< runs while there are streams
};

HttpServer::Impl::~Impl() {
  for (const auto& weak : streams) {  // MHD aborts when it is stopped with suspended connections
    if (const auto stream = weak.lock()) stream->end();
  }
  watch.reset();
  if (daemon != nullptr) MHD_stop_daemon(daemon);
}

bool HttpServer::Impl::start(int fd) {
  port = port_of(fd);
  daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, &Impl::on_request,
                            this, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, kConnections,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, kConnectionsOfOne,
                            MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_NOTIFY_COMPLETED,
                            &Impl::on_completed, nullptr, MHD_OPTION_END);
  if (daemon == nullptr) return false;
  const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
  watch = loop.watch(info->epoll_fd, loop::Io::Read, [this](loop::Ready) { turn(); });
  return true;
}

/// Lets MHD do what is ready, and asks when it wants to be called although nothing happens (idle connections
/// end).
void HttpServer::Impl::turn() {
  MHD_run(daemon);
  MHD_UNSIGNED_LONG_LONG wait_ms = 0;
  if (MHD_get_timeout(daemon, &wait_ms) != MHD_YES) {
    timer.reset();
  } else {
    timer = loop.after(Millis{static_cast<std::int64_t>(wait_ms)}, [this] { turn(); });
  }
}

/// A client that went away is noticed by sending alone: an empty comment every now and then frees its place.
void HttpServer::Impl::beat() {
  std::erase_if(streams, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : streams) {
    if (const auto stream = weak.lock()) stream->write(":\n\n");
  }
  if (streams.empty()) beats.reset();
}

MHD_Result HttpServer::Impl::on_request(void* self, MHD_Connection* connection, const char* url,
                                        const char* method, const char*, const char* data, std::size_t* size,
                                        void** request) {
  auto& server = *static_cast<Impl*>(self);
  if (*request == nullptr) {  // the head has come, the body not yet
    *request = new Arriving;
    const char* length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length == nullptr || std::strtoull(length, nullptr, 10) <= kMaxBody) return MHD_YES;
    return server.reply(connection, {413, "text/plain; charset=utf-8", "The body is over 1 MiB.\n"});
  }
  auto& arriving = *static_cast<Arriving*>(*request);
  if (*size > 0) {
    if (arriving.body.size() + *size > kMaxBody) return MHD_NO;  // chunked, with no length given: hang up
    arriving.body.append(data, *size);
    *size = 0;
    return MHD_YES;
  }
  return server.serve(connection, url, method, arriving);
}

void HttpServer::Impl::on_completed(void*, MHD_Connection*, void** request, MHD_RequestTerminationCode) {
  delete static_cast<Arriving*>(*request);
  *request = nullptr;
}

MHD_Result HttpServer::Impl::serve(MHD_Connection* connection, const char* url, const char* method,
                                   Arriving& arriving) {
  const auto lookup = [connection](MHD_ValueKind kind) {
    return [connection, kind](std::string_view name) -> std::string_view {
      const char* value = MHD_lookup_connection_value(connection, kind, std::string(name).c_str());
      return value == nullptr ? std::string_view{} : std::string_view{value};
    };
  };
  ServerRequest request;
  request.method = std::string_view{method} == "HEAD" ? "GET" : method;  // MHD leaves the body out by itself
  request.path = url;
  request.body = arriving.body;
  request.header = lookup(MHD_HEADER_KIND);
  request.query = lookup(MHD_GET_ARGUMENT_KIND);
  request.peer = peer_of(connection);
  return reply(connection, handler(request));
}

MHD_Result HttpServer::Impl::reply(MHD_Connection* connection, const ServerResponse& response) {
  std::shared_ptr<StreamState> state;
  if (response.stream) {
    std::erase_if(streams, [](const auto& weak) { return weak.expired(); });
    if (streams.size() >= kStreams)
      return reply(connection, {503, response.content_type, "Too many streams.\n"});
  }
  const Response out = response.stream ? stream_to(connection, state) : whole(response.body);
  if (out == nullptr) return MHD_NO;
  MHD_add_response_header(out.get(), MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
  for (const auto& [name, value] : response.headers) {
    MHD_add_response_header(out.get(), name.c_str(), value.c_str());
  }
  const auto queued = MHD_queue_response(connection, static_cast<unsigned>(response.status), out.get());
  if (state != nullptr && queued == MHD_YES)
    response.stream(std::make_shared<ServedStream>(std::move(state)));
  return queued;
}

Response HttpServer::Impl::stream_to(MHD_Connection* connection, std::shared_ptr<StreamState>& state) {
  using Held = std::shared_ptr<StreamState>;
  state = std::make_shared<StreamState>();
  state->connection = connection;
  state->turn_soon = [this] { timer = loop.after(Millis{0}, [this] { turn(); }); };
  const auto read = [](void* held, std::uint64_t, char* into, std::size_t room) -> ssize_t {
    return (*static_cast<Held*>(held))->read(into, room);
  };
  const auto gone = [](void* held) {
    (*static_cast<Held*>(held))->connection = nullptr;
    delete static_cast<Held*>(held);
  };
  streams.push_back(state);
  if (!beats) beats = loop.every(kStreamBeat, [this] { beat(); });
  return {MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 << 10, read, new Held(state), gone),
          &MHD_destroy_response};
}

// ---------------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<HttpServer>> HttpServer::listen(loop::Loop& loop, const std::string& address,
                                                       Handler handler) {
  const auto fd = open_socket(address);
  if (!fd) return fail(fd.error());
  auto impl = std::make_unique<Impl>(loop, std::move(handler));
  if (!impl->start(*fd)) {
    ::close(*fd);
    return fail(Code::Internal, "listening on " + address + ": the HTTP server can't start");
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
  return impl_->port;
}

}  // namespace katana::net
