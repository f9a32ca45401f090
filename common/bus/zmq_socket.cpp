#include "common/bus/zmq_socket.hpp"

#include <cerrno>
#include <utility>

#include <zmq.h>

#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

/// How long a closed socket, and at the very end the whole context, keeps trying to hand over its last
/// messages (a Goodbye, the beat that says Stopped). Only what has a living connection waits at all
/// (IMMEDIATE).
constexpr int kLingerMs = 200;
constexpr int kHandshakeMs = 3'000;
constexpr int kReconnectMs = 25;  // doubles up to the next, with jitter
constexpr int kReconnectMaxMs = 1'000;
constexpr int kTcpRetryMs = 10'000;
/// For a connection to come about. The kernel's own tries grow apart: after a host was out of reach for 20 s
/// the next one would be 15 s away.
constexpr int kConnectMs = 2'000;
constexpr Millis kBindAgain{20};
constexpr int kFailuresASecond = 50;
/// What CURVE and ZMTP add to a frame, which MAXMSGSIZE counts too.
constexpr std::size_t kFraming = 64;

void set_common(zmq::socket_t& socket, const SocketKind& kind) {
  socket.set(zmq::sockopt::linger, kLingerMs);
  socket.set(zmq::sockopt::sndhwm, kind.queue);
  socket.set(zmq::sockopt::rcvhwm, kind.queue);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kind.max_frame + kFraming));
  socket.set(zmq::sockopt::handshake_ivl, kHandshakeMs);
  socket.set(zmq::sockopt::immediate, true);
  socket.set(zmq::sockopt::connect_timeout, kConnectMs);
  socket.set(zmq::sockopt::reconnect_ivl, kReconnectMs);
  socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectMaxMs);
  socket.set(zmq::sockopt::ipv6, true);
  // A host that vanished without a word: its connection goes, with what is queued for it. Who is alive is
  // judged by beats; ZeroMQ's own heartbeat would say so of a process that hangs.
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, 10);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, 5);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, 3);
  socket.set(zmq::sockopt::tcp_maxrt, kTcpRetryMs);
  // ROUTER_HANDOVER stays off: nobody takes over another's route.
  if (kind.type == zmq::socket_type::router) socket.set(zmq::sockopt::router_mandatory, true);
  if (kind.type == zmq::socket_type::sub) socket.set(zmq::sockopt::subscribe, "");
}

tl::unexpected<Error> unkeyed(const std::string& endpoint) {
  return fail(Code::Rejected,
              "endpoint '" + endpoint +
                  "': tcp needs keys; make them with `katana keygen DIR` and set KATANA_KEYS to DIR");
}

tl::unexpected<Error> socket_error(const std::string& doing, const Endpoint& endpoint,
                                   const zmq::error_t& error) {
  std::string detail = doing + " " + endpoint.text + ": " + error.what();
  if (error.num() == ENODEV || error.num() == EADDRNOTAVAIL) {
    detail += "; to listen, give an address of this machine, such as tcp://0.0.0.0:PORT";
  }
  return fail(error.num() == EADDRINUSE ? Code::Rejected : Code::Internal, std::move(detail));
}

}  // namespace

Result<Zap*> BusContext::doorkeeper() {
  if (!zap) {
    auto opened = Zap::open(context, loop, keys.directory);
    if (!opened) return fail(opened.error());
    zap = std::move(*opened);
  }
  return zap.get();
}

Result<Bound> bind_socket(BusContext& bus, SocketKind kind, const std::string& text, std::string_view party) {
  const auto endpoint = parse_endpoint(text, Endpoint::Use::Bind);
  if (!endpoint) return fail(endpoint.error());
  std::optional<KeyPair> pair;
  if (endpoint->needs_keys()) {
    if (bus.keys.directory.empty()) return unkeyed(text);
    auto read = read_pair(bus.keys.directory, party, bus.keys.secrets);
    if (!read) return fail(read.error());
    pair = std::move(*read);
    if (auto zap = bus.doorkeeper(); !zap) return fail(zap.error());
  } else if (auto cleared = clear_stale_socket(endpoint->path); !cleared) {
    return fail(cleared.error());
  }
  zmq::socket_t socket;
  try {
    socket = zmq::socket_t(bus.context, kind.type);
    set_common(socket, kind);
    if (pair) {
      socket.set(zmq::sockopt::curve_server, true);
      socket.set(zmq::sockopt::curve_secretkey, pair->secret_key.reveal());
      socket.set(zmq::sockopt::zap_domain, Zap::kDomain);
    }
    socket.bind(endpoint->text);
  } catch (const zmq::error_t& error) {
    return socket_error("cannot listen on", *endpoint, error);
  }
  if (!pair) {
    if (auto restricted = restrict_socket(endpoint->path); !restricted) return fail(restricted.error());
  }
  return Bound{std::move(socket), pair ? pair->public_key : std::string()};
}

Binding::Binding(BusContext& bus, SocketKind kind, std::string endpoint, std::string party, Bound bound)
    : bus_(bus),
      kind_(kind),
      endpoint_(std::move(endpoint)),
      party_(std::move(party)),
      keyed_(!bound.public_key.empty()),
      bound_(std::move(bound)) {}

Result<void> Binding::renew(const std::function<void()>& closing, std::function<void()> opened) {
  if (!keyed_) return {};
  const auto pair = read_pair(bus_.keys.directory, party_, bus_.keys.secrets);
  if (!pair) return fail(pair.error());
  if (pair->public_key == bound_.public_key) return {};
  kLog.info("The {}'s pair of keys is another: its peers connect again", party_);
  closing();
  if (bound_.socket) {
    bound_.socket.set(zmq::sockopt::linger, 0);
    bound_.socket.close();
  }
  bind_again(std::move(opened));
  return {};
}

void Binding::bind_again(std::function<void()> opened) {
  auto bound = bind_socket(bus_, kind_, endpoint_, party_);
  if (bound) {
    bound_ = std::move(*bound);
    failed_ = 0;
    return opened();
  }
  // ZeroMQ's thread gives the address up in its own time. What goes on failing is another matter, and is
  // said.
  if (++failed_ % kFailuresASecond == 0)
    kLog.error("Can't listen again, and tries on: {}", bound.error().detail);
  again_ = bus_.loop.after(kBindAgain, [this, opened = std::move(opened)] { bind_again(opened); });
}

Result<Connection> prepare_connection(BusContext& bus, const std::string& text, std::string_view party) {
  auto endpoint = parse_endpoint(text, Endpoint::Use::Connect);
  if (!endpoint) return fail(endpoint.error());
  Connection connection{std::move(*endpoint), {}, {}, {}};
  if (!connection.endpoint.needs_keys()) return connection;
  if (bus.keys.directory.empty()) return unkeyed(text);
  auto mine = read_client_pair(bus.keys.directory, bus.keys.secrets);
  if (!mine) return fail(mine.error());
  auto theirs = read_public(bus.keys.directory, party);
  if (!theirs) return fail(theirs.error());
  connection.mine = std::move(*mine);
  connection.theirs = std::move(*theirs);
  connection.next = read_public(bus.keys.directory, std::string(party) + ".next").value_or("");
  return connection;
}

Connection other_key(BusContext& bus, Connection used, std::string_view party) {
  if (!used.mine) return used;
  auto fresh = prepare_connection(bus, used.endpoint.text, party);
  if (!fresh) return used;
  if (used.theirs == fresh->theirs && !fresh->next.empty()) fresh->theirs = fresh->next;
  return std::move(*fresh);
}

Result<zmq::socket_t> connect_socket(BusContext& bus, SocketKind kind, const Connection& connection) {
  try {
    zmq::socket_t socket(bus.context, kind.type);
    set_common(socket, kind);
    if (connection.mine) {
      socket.set(zmq::sockopt::curve_publickey, connection.mine->public_key);
      socket.set(zmq::sockopt::curve_secretkey, connection.mine->secret_key.reveal());
      socket.set(zmq::sockopt::curve_serverkey, connection.theirs);
    }
    socket.connect(connection.endpoint.text);
    return socket;
  } catch (const zmq::error_t& error) {
    return socket_error("cannot connect to", connection.endpoint, error);
  }
}

// The C calls below instead of cppzmq's: a refused send is everyday business here, not an exception.

namespace {

tl::unexpected<Error> not_sent(int error) {
  switch (error) {
    case EAGAIN:
      return fail(Code::Overloaded, "not sent: no connection, or its queue is full");
    case EHOSTUNREACH:
      return fail(Code::Network, "not sent: the peer is gone");
    default:
      return fail(Code::Network, std::string("not sent: ") + zmq_strerror(error));
  }
}

}  // namespace

Result<void> send_staged(zmq::socket_t& socket, Codec& codec, std::size_t size, std::string_view route) {
  // With ROUTER_MANDATORY it is the route's part that is refused; behind an accepted route the body always
  // goes.
  if (!route.empty() &&
      zmq_send(socket.handle(), route.data(), route.size(), ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
    return not_sent(zmq_errno());
  }
  zmq_msg_t body;
  if (zmq_msg_init_size(&body, size) != 0) {
    // The route is on its way; an empty body completes the message, and the peer drops it.
    if (!route.empty()) zmq_send(socket.handle(), nullptr, 0, ZMQ_DONTWAIT);
    return fail(Code::Internal, "not sent: no memory for a frame");
  }
  codec.write(zmq_msg_data(&body));
  if (zmq_msg_send(&body, socket.handle(), ZMQ_DONTWAIT) < 0) {
    const int error = zmq_errno();
    zmq_msg_close(&body);
    return not_sent(error);
  }
  return {};
}

Received receive_frame(zmq::socket_t& socket, bool routed) {
  Received in;
  if (zmq_msg_recv((routed ? in.route : in.body).handle(), socket.handle(), ZMQ_DONTWAIT) < 0) return in;
  in.any = true;
  if (routed) {
    in.well_shaped = in.route.more() && zmq_msg_recv(in.body.handle(), socket.handle(), ZMQ_DONTWAIT) >= 0;
    if (!in.well_shaped) return in;
  }
  if (!in.body.more()) return in;
  in.well_shaped = false;
  zmq::message_t surplus;
  do {
    if (zmq_msg_recv(surplus.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) break;
  } while (surplus.more());
  return in;
}

std::string_view user_of(zmq::message_t& message) {
  const char* user = zmq_msg_gets(message.handle(), "User-Id");
  return user == nullptr ? std::string_view() : std::string_view(user);
}

}  // namespace katana::bus
