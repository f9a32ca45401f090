#include "common/bus/zmq_heartbeats.hpp"

#include <utility>

#include "common/bus/socket_watch.hpp"
#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

class XpubEnd final : public HeartbeatSink {
 public:
  XpubEnd(BusContext& bus, zmq::socket_t socket, std::function<void()> on_listener)
      : bus_(bus),
        socket_(std::move(socket)),
        on_listener_(std::make_shared<std::function<void()>>(std::move(on_listener))),
        watch_(bus.loop, socket_.handle(), {[this] { return receive_one(); }, [](bool) {}}) {}

  void publish(const Heartbeat& beat) override {
    const auto size = codec_.stage(beat);
    const auto sent = size ? send_staged(socket_, codec_, *size) : Result<void>(fail(size.error()));
    sent ? ++bus_.counts.sent : ++bus_.counts.not_sent;
    if (!size) kLog.error("a heartbeat can't be encoded: {}", size.error().detail);
    watch_.look_again();
  }

 private:
  /// What an XPUB receives is 1 (somebody listens) or 0 (nobody does any more), and the topic, which is
  /// empty.
  bool receive_one() {
    const Received in = receive_frame(socket_, false);
    if (!in.any) return false;
    const auto on_listener = on_listener_;
    if (in.body.size() == 1 && *in.body.data<char>() == 1 && *on_listener) (*on_listener)();
    return true;
  }

  BusContext& bus_;
  Codec codec_;
  zmq::socket_t socket_;
  std::shared_ptr<std::function<void()>> on_listener_;
  SocketWatch watch_;
};

class SubEnd {
 public:
  SubEnd(BusContext& bus, zmq::socket_t socket, bool keyed, std::function<void(Heartbeat)> on_beat)
      : bus_(bus),
        socket_(std::move(socket)),
        keyed_(keyed),
        on_beat_(std::make_shared<std::function<void(Heartbeat)>>(std::move(on_beat))),
        watch_(bus.loop, socket_.handle(), {[this] { return receive_one(); }, [](bool) {}}) {}

 private:
  bool receive_one() {
    Received in = receive_frame(socket_, false);
    if (!in.any) return false;
    const bool welcome = in.well_shaped && (!keyed_ || bus_.zap->admits(user_of(in.body)));
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

  BusContext& bus_;
  Codec codec_;
  zmq::socket_t socket_;
  bool keyed_;
  std::shared_ptr<std::function<void(Heartbeat)>> on_beat_;
  SocketWatch watch_;
};

}  // namespace

Result<std::unique_ptr<HeartbeatSink>> open_heartbeat_sink(BusContext& bus, const std::string& endpoint,
                                                           std::function<void()> on_listener) {
  const auto connection = prepare_connection(bus, endpoint, "watchdog");
  if (!connection) return fail(connection.error());
  auto socket = connect_socket(bus, kHeartbeatSink, *connection);
  if (!socket) return fail(socket.error());
  return std::make_unique<XpubEnd>(bus, std::move(*socket), std::move(on_listener));
}

Result<std::shared_ptr<void>> open_heartbeat_source(BusContext& bus, const std::string& endpoint,
                                                    std::function<void(Heartbeat)> on_beat) {
  auto socket = bind_socket(bus, kHeartbeatSource, endpoint, "watchdog");
  if (!socket) return fail(socket.error());
  const bool keyed = endpoint.starts_with("tcp://");
  return std::make_shared<SubEnd>(bus, std::move(*socket), keyed, std::move(on_beat));
}

}  // namespace katana::bus
