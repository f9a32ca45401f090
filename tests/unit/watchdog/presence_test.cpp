#include "watchdog/liveness/presence.hpp"

#include <gtest/gtest.h>

namespace katana::watchdog {
namespace {

/// What was sent, and how often the connection was made anew.
struct Wire {
  std::vector<bus::Message> sent;
  int reconnects = 0;
  bool there = true;
  template <class T>
  [[nodiscard]] int count() const {
    int n = 0;
    for (const auto& m : sent)
      n += std::holds_alternative<T>(m) ? 1 : 0;
    return n;
  }
};

class WireClient final : public bus::JobClient {
 public:
  explicit WireClient(Wire& wire) : wire_(wire) {}
  Result<void> send(const bus::Message& message) override {
    if (!wire_.there) return fail(Code::Overloaded, "not sent");
    wire_.sent.push_back(message);
    return {};
  }
  void reconnect() override { ++wire_.reconnects; }

 private:
  Wire& wire_;
};

class PresenceTest : public testing::Test {
 protected:
  void SetUp() override { presence.add_gateway(std::make_unique<WireClient>(wire), clock.mono()); }
  void beat(int times = 1, bool answered = true) {
    for (int i = 0; i < times; ++i) {
      clock.advance(BusPresence::kBeat);
      if (answered) presence.on_message(0, bus::Beat{}, clock.mono());
      presence.beat(clock.mono());
    }
  }
  ManualClock clock;
  Wire wire;
  BusPresence presence{"w1", "1.0", clock.mono()};
};

TEST_F(PresenceTest, SaysHelloUntilItIsWelcomeThenBeats) {
  presence.on_connected(0, clock.mono());
  ASSERT_EQ(wire.count<bus::Hello>(), 1);
  const auto& hello = std::get<bus::Hello>(wire.sent[0]);
  EXPECT_EQ(hello.role, bus::Role::Watchdog);
  EXPECT_EQ(hello.worker_id, "w1");
  beat();
  EXPECT_EQ(wire.count<bus::Hello>(), 2);
  EXPECT_EQ(wire.count<bus::Beat>(), 0);
  presence.on_message(0, bus::Welcome{.gateway_id = "g"}, clock.mono());
  EXPECT_EQ(presence.joined(), 1u);
  beat(4);
  EXPECT_EQ(wire.count<bus::Hello>(), 2);
  EXPECT_EQ(wire.count<bus::Beat>(), 4);
}

TEST_F(PresenceTest, AGatewayThatFellSilentGetsAFreshConnection) {
  presence.on_connected(0, clock.mono());
  presence.on_message(0, bus::Welcome{.gateway_id = "g"}, clock.mono());
  beat(2, false);
  EXPECT_EQ(wire.reconnects, 0);
  beat(1, false);
  EXPECT_EQ(wire.reconnects, 1);
  EXPECT_EQ(presence.joined(), 0u);
  presence.on_connected(0, clock.mono());
  EXPECT_EQ(wire.count<bus::Hello>(), 2);
}

TEST_F(PresenceTest, AStallOfOursIsNoSilenceOfTheGateways) {
  presence.on_connected(0, clock.mono());
  presence.on_message(0, bus::Welcome{.gateway_id = "g"}, clock.mono());
  clock.advance(Millis{8'000});
  presence.beat(clock.mono());
  EXPECT_EQ(wire.reconnects, 0);
}

TEST_F(PresenceTest, SaysGoodbyeOnlyWhereItIsKnown) {
  presence.leave();
  EXPECT_EQ(wire.count<bus::Goodbye>(), 0);
  presence.on_message(0, bus::Welcome{.gateway_id = "g"}, clock.mono());
  presence.leave();
  EXPECT_EQ(wire.count<bus::Goodbye>(), 1);
}

TEST_F(PresenceTest, AHelloThatCouldNotGoIsSaidAgain) {
  wire.there = false;
  presence.on_connected(0, clock.mono());
  wire.there = true;
  beat();
  EXPECT_EQ(wire.count<bus::Hello>(), 1);
}

}  // namespace
}  // namespace katana::watchdog
