#include "common/bus/zmq_heartbeats.hpp"

#include <utility>

#include "common/bus/socket_watch.hpp"
#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

/// Without a listener for so long, the watchdog's other key is tried, if it has one.
constexpr Millis kOtherKeyAfter{1'000};

class XpubEnd final : public HeartbeatSink, private KeyedEnd {
 public:
  XpubEnd(BusContext& bus, zmq::socket_t socket, Connection connection, std::function<void()> on_listener)
      : KeyedEnd(bus),
        socket_(std::move(socket)),
        connection_(std::move(connection)),
        on_listener_(std::make_shared<std::function<void()>>(std::move(on_listener))) {
    watch();
  }

  void publish(const Heartbeat& beat) override {
    if (!watch_) return void(++bus_.counts.not_sent);  // no socket: it is tried again
    const auto size = codec_.stage(beat);
    const auto sent = size ? send_staged(socket_, codec_, *size) : Result<void>(fail(size.error()));
    sent ? ++bus_.counts.sent : ++bus_.counts.not_sent;
    if (!size) kLog.error("a heartbeat can't be encoded: {}", size.error().detail);
    watch_->look_again();
  }

 private:
  Result<void> read_keys_again() override {
    if (!connection_.mine) return {};
    auto fresh = prepare_connection(bus_, connection_.endpoint.text, "watchdog");
    if (!fresh) return fail(fresh.error());
    const bool as_before = fresh->allows(connection_);
    const bool may_change = connection_.next != fresh->next;
    if (!as_before) {
      connection_ = std::move(*fresh);
      open();
    } else if (may_change) {
      connection_.next = fresh->next;
      if (!listened_) try_other_key();
    }
    return {};
  }

  void open() {
    other_key_.reset();
    watch_.reset();
    if (socket_) {
      socket_.set(zmq::sockopt::linger, 0);
      socket_.close();
    }
    auto opened = connect_socket(bus_, kHeartbeatSink, connection_);
    if (!opened) {
      kLog.error("{}", opened.error().detail);
      other_key_ = bus_.loop.after(kOtherKeyAfter, [this] { open(); });
      return;
    }
    socket_ = std::move(*opened);
    watch();
  }

  void watch() {
    listened_ = false;
    watch_ = std::make_unique<SocketWatch>(
        bus_.loop, socket_.handle(), SocketWatch::Callbacks{[this] { return receive_one(); }, [](bool) {}});
    try_other_key();
  }

  void try_other_key() {
    if (connection_.next.empty()) return;  // as nearly always: then nothing ticks here
    other_key_ = bus_.loop.after(kOtherKeyAfter, [this] {
      if (listened_) return;
      connection_ = other_key(bus_, std::move(connection_), "watchdog");
      open();
    });
  }

  /// What an XPUB receives is 1 (somebody listens) or 0 (nobody does any more), and the topic, which is
  /// empty.
  bool receive_one() {
    const Received in = receive_frame(socket_, false);
    if (!in.any) return false;
    const auto on_listener = on_listener_;
    if (in.body.size() != 1) return true;
    listened_ = *in.body.data<char>() == 1;
    if (!listened_) {
      if (connection_.mine) connection_.next = next_key();
      try_other_key();
    } else if (*on_listener) {
      (*on_listener)();
    }
    return true;
  }

  /// It may have come since the connection was made.
  std::string next_key() {
    const auto fresh = prepare_connection(bus_, connection_.endpoint.text, "watchdog");
    return fresh ? fresh->next : connection_.next;
  }

  Codec codec_;
  zmq::socket_t socket_;
  Connection connection_;
  std::shared_ptr<std::function<void()>> on_listener_;
  bool listened_ = false;
  loop::Timer other_key_;
  std::unique_ptr<SocketWatch> watch_;
};

class SubEnd final : private KeyedEnd {
 public:
  SubEnd(BusContext& bus, const std::string& endpoint, Bound bound, std::function<void(Heartbeat)> on_beat)
      : KeyedEnd(bus),
        binding_(bus, kHeartbeatSource, endpoint, "watchdog", std::move(bound)),
        on_beat_(std::make_shared<std::function<void(Heartbeat)>>(std::move(on_beat))) {
    watch();
  }

 private:
  Result<void> read_keys_again() override {
    return binding_.renew([this] { watch_.reset(); }, [this] { watch(); });
  }

  void watch() {
    watch_ =
        std::make_unique<SocketWatch>(bus_.loop, binding_.socket().handle(),
                                      SocketWatch::Callbacks{[this] { return receive_one(); }, [](bool) {}});
  }

  bool receive_one() {
    Received in = receive_frame(binding_.socket(), false);
    if (!in.any) return false;
    const bool welcome = in.well_shaped && (!binding_.keyed() || bus_.zap->admits(user_of(in.body)));
    auto beat = welcome ? codec_.decode_heartbeat(in.body.to_string_view())
                        : Result<Heartbeat>(
                              fail(Code::Malformed, "heartbeat: not in one part, or its key was withdrawn"));
    if (!beat) {
      ++bus_.counts.malformed;
      return true;
    }
    ++bus_.counts.received;
    const auto on_beat = on_beat_;
    (*on_beat)(std::move(*beat));
    return true;
  }

  Codec codec_;
  Binding binding_;
  std::shared_ptr<std::function<void(Heartbeat)>> on_beat_;
  std::unique_ptr<SocketWatch> watch_;
};

}  // namespace

Result<std::unique_ptr<HeartbeatSink>> open_heartbeat_sink(BusContext& bus, const std::string& endpoint,
                                                           std::function<void()> on_listener) {
  auto connection = prepare_connection(bus, endpoint, "watchdog");
  if (!connection) return fail(connection.error());
  auto socket = connect_socket(bus, kHeartbeatSink, *connection);
  if (!socket) return fail(socket.error());
  return std::make_unique<XpubEnd>(bus, std::move(*socket), std::move(*connection), std::move(on_listener));
}

Result<std::shared_ptr<void>> open_heartbeat_source(BusContext& bus, const std::string& endpoint,
                                                    std::function<void(Heartbeat)> on_beat) {
  auto bound = bind_socket(bus, kHeartbeatSource, endpoint, "watchdog");
  if (!bound) return fail(bound.error());
  return std::make_shared<SubEnd>(bus, endpoint, std::move(*bound), std::move(on_beat));
}

}  // namespace katana::bus
