#include "common/bus/zmq_jobs.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "common/bus/socket_watch.hpp"
#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

// A route that ZeroMQ itself gave is 5 bytes: a zero and a number that it never gives twice (until it wraps).
// A peer that chose a route of its own could take the one of a peer that left, so its messages are dropped.
// In text it is `00c0ffee`, and `00c0ffee@3` where keys are in use: a peer that came in under another key is
// another peer.
constexpr std::size_t kRoute = 5;
constexpr std::size_t kRouteText = 8;

/// A connection that was lost, and isn't back for so long, is tried with the gateway's other key, if it has
/// one.
constexpr Millis kOtherKeyAfter{200};
constexpr Millis kOtherKeyEvery{1'000};  // a handshake over a long way takes its time

std::optional<PeerId> peer_of(std::string_view route, std::string_view user) {
  if (route.size() != kRoute || route[0] != '\0') return std::nullopt;
  constexpr std::string_view kDigits = "0123456789abcdef";
  PeerId peer;
  for (const char c : route.substr(1)) {
    const auto byte = static_cast<unsigned char>(c);
    peer += kDigits[byte >> 4];
    peer += kDigits[byte & 15];
  }
  if (!user.empty()) peer.append("@").append(user);
  return peer;
}

std::optional<std::array<char, kRoute>> route_of(const PeerId& peer) {
  std::uint32_t number = 0;
  if (peer.size() < kRouteText) return std::nullopt;
  const auto [end, error] = std::from_chars(peer.data(), peer.data() + kRouteText, number, 16);
  if (error != std::errc{} || end != peer.data() + kRouteText) return std::nullopt;
  std::array<char, kRoute> route{};
  for (std::size_t i = 1; i < kRoute; ++i)
    route[i] = static_cast<char>(number >> (8 * (kRoute - 1 - i)) & 0xFF);
  return route;
}

/// Everybody's `send`: counted, and looked after even when it was refused.
Result<void> counted(BusCounts& counts, SocketWatch& watch, Result<void> outcome) {
  outcome ? ++counts.sent : ++counts.not_sent;
  watch.look_again();
  return outcome;
}

class RouterEnd final : public JobServer, private KeyedEnd {
 public:
  RouterEnd(BusContext& bus, const std::string& endpoint, Bound bound, Handlers handlers)
      : KeyedEnd(bus),
        binding_(bus, kJobServer, endpoint, "server", std::move(bound)),
        handlers_(std::make_shared<Handlers>(std::move(handlers))) {
    watch();
  }

  Result<void> send(const PeerId& to, const Message& message) override {
    if (!watch_) return fail(Code::Network, "not sent: the socket is being bound anew");
    return counted(bus_.counts, *watch_, try_send(to, message));
  }

 private:
  Result<void> read_keys_again() override {
    return binding_.renew([this] { watch_.reset(); }, [this] { watch(); });
  }

  void watch() {
    watch_ = std::make_unique<SocketWatch>(
        bus_.loop, binding_.socket().handle(),
        SocketWatch::Callbacks{[this] { return receive_one(); }, [this](bool) { drained(); }});
  }

  Result<void> try_send(const PeerId& to, const Message& message) {
    const auto route = route_of(to);
    if (!route || (binding_.keyed() && !bus_.zap->admits(key_of(to)))) {
      return fail(Code::Network, "not sent: no such peer");
    }
    const auto size = codec_.stage(message);
    if (!size) return fail(size.error());
    return send_staged(binding_.socket(), codec_, *size, {route->data(), route->size()});
  }

  // A handler may destroy this object: what follows its call touches nothing of it.
  bool receive_one() {
    Received in = receive_frame(binding_.socket(), true);
    if (!in.any) return false;
    const auto handlers = handlers_;
    const auto peer = peer_of(in.route.to_string_view(), user_of(in.body));
    auto message = read(in, peer);
    if (message) {
      ++bus_.counts.received;
      handlers->on_message(*peer, std::move(*message));
    } else {
      ++bus_.counts.malformed;
      if (handlers->on_malformed) handlers->on_malformed(peer.value_or("?"), message.error());
    }
    return true;
  }

  Result<Message> read(const Received& in, const std::optional<PeerId>& peer) {
    if (!peer) return fail(Code::Malformed, "frame: its sender chose its own routing id");
    if (binding_.keyed() && !bus_.zap->admits(key_of(*peer)))
      return fail(Code::Auth, "frame: its sender's key was withdrawn");
    if (!in.well_shaped) return fail(Code::Malformed, "frame: a message has exactly one part");
    return codec_.decode(in.body.to_string_view());
  }

  void drained() {
    const auto handlers = handlers_;
    if (handlers->on_drained) handlers->on_drained();
  }

  Codec codec_;
  Binding binding_;
  std::shared_ptr<Handlers> handlers_;  ///< shared with a call that is under way
  std::unique_ptr<SocketWatch> watch_;
};

class DealerEnd final : public JobClient, private KeyedEnd {
 public:
  DealerEnd(BusContext& bus, zmq::socket_t socket, Connection connection, Handlers handlers)
      : KeyedEnd(bus),
        connection_(std::move(connection)),
        handlers_(std::make_shared<Handlers>(std::move(handlers))),
        socket_(std::move(socket)) {
    watch();
  }

  Result<void> send(const Message& message) override {
    if (!watch_) return fail(Code::Network, "not sent: no socket");
    return counted(bus_.counts, *watch_, try_send(message));
  }

  void reconnect() override {
    if (!connected_) connection_ = other_key(bus_, std::move(connection_), "server");
    open();
  }

 private:
  Result<void> read_keys_again() override {
    if (!connection_.mine) return {};
    auto fresh = prepare_connection(bus_, connection_.endpoint.text, "server");
    if (!fresh) return fail(fresh.error());
    if (fresh->allows(connection_)) return {};
    connection_ = std::move(*fresh);
    open();
    return {};
  }

  void open() {
    other_key_.reset();
    watch_.reset();
    if (socket_) {
      socket_.set(zmq::sockopt::linger, 0);
      socket_.close();
    }
    auto opened = connect_socket(bus_, kJobClient, connection_);
    if (!opened) return kLog.error("{}", opened.error().detail);
    socket_ = std::move(*opened);
    watch();
  }

  void watch() {
    connected_ = false;
    watch_ =
        std::make_unique<SocketWatch>(bus_.loop, socket_.handle(),
                                      SocketWatch::Callbacks{[this] { return receive_one(); },
                                                             [this](bool writable) { drained(writable); }});
    if (!connection_.next.empty()) try_other_key(kOtherKeyEvery);
  }

  Result<void> try_send(const Message& message) {
    const auto size = codec_.stage(message);
    if (!size) return fail(size.error());
    return send_staged(socket_, codec_, *size);
  }

  // A handler may destroy this object or reconnect it: what follows its call touches nothing of it.
  bool receive_one() {
    Received in = receive_frame(socket_, false);
    if (!in.any) return false;
    const auto handlers = handlers_;
    auto message = in.well_shaped
                       ? codec_.decode(in.body.to_string_view())
                       : Result<Message>(fail(Code::Malformed, "frame: a message has exactly one part"));
    if (message) {
      ++bus_.counts.received;
      handlers->on_message(std::move(*message));
    } else {
      ++bus_.counts.malformed;
      if (handlers->on_malformed) handlers->on_malformed(message.error());
    }
    return true;
  }

  /// While the gateway's pair is replaced there are two keys, by turns: whoever is quick keeps its jobs.
  void try_other_key(Millis after) {
    other_key_ = bus_.loop.after(after, [this] {
      const auto fresh = prepare_connection(bus_, connection_.endpoint.text, "server");
      if (connected_ || !fresh || fresh->next.empty()) return;
      reconnect();
    });
  }

  /// With IMMEDIATE a DEALER is writable just as long as a connection is there.
  void drained(bool writable) {
    const bool now_connected = writable && !std::exchange(connected_, writable);
    const bool lost = !writable && std::exchange(connected_, false);
    if (lost && connection_.mine) try_other_key(kOtherKeyAfter);
    const auto handlers = handlers_;
    if (now_connected && handlers->on_connected) handlers->on_connected();
  }

  Connection connection_;
  Codec codec_;
  std::shared_ptr<Handlers> handlers_;  ///< shared with a call that is under way
  zmq::socket_t socket_;
  bool connected_ = false;
  loop::Timer other_key_;
  std::unique_ptr<SocketWatch> watch_;
};

}  // namespace

std::string_view key_of(const PeerId& peer) {
  return peer.size() > kRouteText ? std::string_view(peer).substr(kRouteText + 1) : std::string_view();
}

Result<std::unique_ptr<JobServer>> open_job_server(BusContext& bus, const std::string& endpoint,
                                                   JobServer::Handlers handlers) {
  auto bound = bind_socket(bus, kJobServer, endpoint, "server");
  if (!bound) return fail(bound.error());
  return std::make_unique<RouterEnd>(bus, endpoint, std::move(*bound), std::move(handlers));
}

Result<std::unique_ptr<JobClient>> open_job_client(BusContext& bus, const std::string& endpoint,
                                                   JobClient::Handlers handlers) {
  auto connection = prepare_connection(bus, endpoint, "server");
  if (!connection) return fail(connection.error());
  auto socket = connect_socket(bus, kJobClient, *connection);
  if (!socket) return fail(socket.error());
  return std::make_unique<DealerEnd>(bus, std::move(*socket), std::move(*connection), std::move(handlers));
}

}  // namespace katana::bus
