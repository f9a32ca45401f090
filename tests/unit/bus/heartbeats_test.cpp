#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zmq.hpp>

#include "common/bus/zmq_bus.hpp"
#include "tests/unit/bus/samples.hpp"
#include "tests/unit/bus/world.hpp"

namespace katana::bus {
namespace {

class Heartbeats : public testing::TestWithParam<bool> {
 protected:
  Heartbeats() {
    if (!GetParam()) return;
    EXPECT_TRUE(ZmqBus::make_keys(keys_));
  }
  TempDir dir_;
  std::filesystem::path keys_ = dir_.path() / "keys";
  loop::Loop loop_;
  ZmqBus bus_{loop_, {GetParam() ? keys_ : std::filesystem::path()}};
  std::string endpoint_ = GetParam() ? free_tcp() : dir_.ipc("watch.sock");
  std::vector<Heartbeat> got_;

  std::shared_ptr<void> listen() {
    auto opened =
        bus_.serve_heartbeats(endpoint_, [this](Heartbeat beat) { got_.push_back(std::move(beat)); });
    return opened.value_or(nullptr);
  }
};
INSTANTIATE_TEST_SUITE_P(Bus, Heartbeats, testing::Bool(),
                         [](const auto& is) { return is.param ? "tcp" : "ipc"; });

TEST_P(Heartbeats, AreHeardFromTheFirstThatHasAListener) {
  std::unique_ptr<HeartbeatSink> sink;
  int listeners = 0;
  const auto publish = [&] {
    ++listeners;
    Heartbeat beat = samples::heartbeat();
    beat.seq = static_cast<std::uint64_t>(listeners);
    sink->publish(beat);
  };
  sink = bus_.connect_heartbeats(endpoint_, publish).value();
  sink->publish(samples::heartbeat());  // nobody listens: dropped, and no harm done
  auto listening = listen();
  ASSERT_TRUE(drive(loop_, [&] { return got_.size() == 1; }));
  EXPECT_EQ(got_[0].seq, 1u);
  EXPECT_EQ(got_[0].component, "gateway");

  // The watchdog restarts: the sink hears of the new one and publishes at once.
  listening.reset();
  got_.clear();
  // The address is free once ZeroMQ's own thread has closed the old socket.
  ASSERT_TRUE(drive(loop_, [&] { return (listening = listen()) != nullptr; }));
  ASSERT_TRUE(drive(loop_, [&] { return !got_.empty(); }));
  EXPECT_EQ(got_[0].seq, 2u);
}

TEST_P(Heartbeats, TheLastOneGetsOutBeforeTheSinkCloses) {
  const auto listening = listen();
  bool heard = false;
  auto sink = bus_.connect_heartbeats(endpoint_, [&] { heard = true; }).value();
  ASSERT_TRUE(drive(loop_, [&] { return heard; }));
  Heartbeat last = samples::heartbeat();
  last.state = ServiceState::Stopped;
  sink->publish(last);
  sink.reset();
  ASSERT_TRUE(drive(loop_, [&] { return got_.size() == 1; }));
  EXPECT_EQ(got_[0].state, ServiceState::Stopped);
}

TEST_P(Heartbeats, OfManyProcessesArrive) {
  const auto listening = listen();
  std::vector<std::unique_ptr<HeartbeatSink>> sinks(20);
  for (auto& sink : sinks) {
    sink = bus_.connect_heartbeats(endpoint_, [&sink] { sink->publish(samples::heartbeat()); }).value();
  }
  EXPECT_TRUE(drive(loop_, [&] { return got_.size() == sinks.size(); }));
}

TEST(HeartbeatSource, CountsAndDropsWhatDoesntParse) {
  const TempDir dir;
  loop::Loop loop;
  ZmqBus bus(loop, {});
  int got = 0;
  const auto listening = bus.serve_heartbeats(dir.ipc("watch.sock"), [&](Heartbeat) { ++got; }).value();
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::xpub);
  raw.set(zmq::sockopt::linger, 0);
  raw.connect(dir.ipc("watch.sock"));
  zmq::message_t subscription;
  ASSERT_TRUE(drive(loop, [&] { return raw.recv(subscription, zmq::recv_flags::dontwait).has_value(); }));
  raw.send(zmq::str_buffer("\xff not a heartbeat"), zmq::send_flags::none);
  Codec codec;
  raw.send(zmq::buffer(samples::encode(codec, samples::heartbeat())), zmq::send_flags::none);
  ASSERT_TRUE(drive(loop, [&] { return got == 1; }));
  EXPECT_EQ(bus.counts().malformed, 1u);
}

}  // namespace
}  // namespace katana::bus
