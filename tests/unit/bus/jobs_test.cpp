#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zmq.hpp>

#include "common/bus/keys.hpp"
#include "common/bus/zmq_bus.hpp"
#include "tests/unit/bus/samples.hpp"
#include "tests/unit/bus/world.hpp"

namespace katana::bus {
namespace {

using samples::kRef;
using testing::HasSubstr;

/// A gateway's end that remembers what it saw.
struct Gateway {
  std::unique_ptr<JobServer> end;
  std::vector<std::pair<PeerId, Message>> got;
  std::vector<std::pair<PeerId, Error>> malformed;
  int drained = 0;

  Result<void> open(ZmqBus& bus, const std::string& endpoint) {
    auto opened = bus.serve_jobs(
        endpoint,
        {[this](const PeerId& peer, Message message) { got.emplace_back(peer, std::move(message)); },
         [this] { ++drained; },
         [this](const PeerId& peer, const Error& error) { malformed.emplace_back(peer, error); }});
    if (!opened) return fail(opened.error());
    end = std::move(*opened);
    return {};
  }
};

/// A worker's end that says Hello whenever it is connected.
struct Worker {
  std::unique_ptr<JobClient> end;
  std::vector<Message> got;
  int connected = 0;
  std::string id = "w1";

  Result<void> open(ZmqBus& bus, const std::string& endpoint) {
    auto opened = bus.connect_jobs(
        endpoint, {[this](Message message) { got.push_back(std::move(message)); },
                   {},
                   [this] {
                     ++connected;
                     EXPECT_TRUE(end->send(Hello{Role::Worker, id, "claude", {}, "", 1, {}}));
                   }});
    if (!opened) return fail(opened.error());
    end = std::move(*opened);
    return {};
  }
};

/// Both over `ipc://`, and both over `tcp://` with keys.
class Jobs : public testing::TestWithParam<bool> {
 protected:
  Jobs() {
    if (!keyed()) return;
    EXPECT_TRUE(ZmqBus::make_keys(keys_));
  }
  [[nodiscard]] bool keyed() const { return GetParam(); }

  TempDir dir_;
  std::filesystem::path keys_ = dir_.path() / "keys";
  loop::Loop loop_;
  ZmqBus bus_{loop_, {GetParam() ? keys_ : std::filesystem::path()}};
  std::string endpoint_ = GetParam() ? free_tcp() : dir_.ipc("bus.sock");
  Gateway gateway_;
  Worker worker_;

  void meet() {
    const auto opened = gateway_.open(bus_, endpoint_);
    ASSERT_TRUE(opened) << opened.error().detail;
    const auto joined = worker_.open(bus_, endpoint_);
    ASSERT_TRUE(joined) << joined.error().detail;
    ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
  }
};
INSTANTIATE_TEST_SUITE_P(Bus, Jobs, testing::Bool(), [](const auto& is) { return is.param ? "tcp" : "ipc"; });

TEST_P(Jobs, TravelBothWays) {
  meet();
  const auto [peer, hello] = gateway_.got.at(0);
  EXPECT_EQ(std::get<Hello>(hello).worker_id, "w1");
  EXPECT_EQ(peer.find('@') != std::string::npos, keyed());

  ASSERT_TRUE(gateway_.end->send(peer, Welcome{"g1", 1, {}, {}}));
  ASSERT_TRUE(gateway_.end->send(peer, samples::job()));
  ASSERT_TRUE(drive(loop_, [&] { return worker_.got.size() == 2; }));
  EXPECT_EQ(std::get<Welcome>(worker_.got[0]).gateway_id, "g1");
  EXPECT_EQ(std::get<Job>(worker_.got[1]).turns.size(), 3u);

  ASSERT_TRUE(worker_.end->send(Chunk{kRef, 0, "text", false}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_EQ(gateway_.got[1].first, peer);
  EXPECT_EQ(std::get<Chunk>(gateway_.got[1].second).text, "text");
  EXPECT_EQ(bus_.counts().received, 4u);
  EXPECT_EQ(bus_.counts().sent, 4u);
  EXPECT_EQ(bus_.counts().malformed, 0u);
}

// Both ends answer each other in bursts, on one loop: whoever trusts ZeroMQ's descriptor alone stands still
// in here.
TEST_P(Jobs, BurstsBothWaysDontStall) {
  constexpr std::uint32_t kBurst = 10'000;
  std::uint32_t at_gateway = 0;
  std::uint32_t at_worker = 0;
  std::uint32_t sent_up = 0;
  std::uint32_t sent_down = 0;
  bool in_order = true;
  PeerId peer;
  std::unique_ptr<JobServer> gateway;
  std::unique_ptr<JobClient> worker;

  // One ping-pong of 1 message and streams of 10,000 on top of it: every second message is sent from a
  // handler.
  const auto push_up = [&] {
    while (sent_up < kBurst && worker->send(Chunk{kRef, sent_up, "0123456789", false}))
      ++sent_up;
  };
  const auto push_down = [&] {
    while (sent_down < kBurst && gateway->send(peer, Cancel{{"j", sent_down + 1}}))
      ++sent_down;
  };
  gateway = bus_.serve_jobs(endpoint_, {[&](const PeerId& from, Message message) {
                                          if (std::holds_alternative<Hello>(message)) {
                                            peer = from;
                                            return;
                                          }
                                          in_order = in_order && std::get<Chunk>(message).seq == at_gateway;
                                          ++at_gateway;
                                          if (at_gateway % 100 == 1) push_down();
                                        },
                                        [&] {
                                          if (!peer.empty()) push_down();
                                        }})
                .value();
  worker = bus_.connect_jobs(endpoint_,
                             {[&](Message message) {
                                in_order = in_order && std::get<Cancel>(message).job.attempt == at_worker + 1;
                                ++at_worker;
                                if (at_worker % 100 == 1) push_up();
                              },
                              {},
                              [&] {
                                ASSERT_TRUE(worker->send(Hello{Role::Worker, "w", "claude", {}, "", 1, {}}));
                                push_up();
                              }})
               .value();
  EXPECT_TRUE(drive(loop_, [&] { return at_gateway == kBurst && at_worker == kBurst; }))
      << at_gateway << " up of " << sent_up << ", " << at_worker << " down of " << sent_down;
  EXPECT_TRUE(in_order);
}

TEST_P(Jobs, UnknownPeerIsANetworkError) {
  meet();
  const PeerId known = gateway_.got[0].first;
  for (const PeerId& stranger :
       {PeerId(""), PeerId("x"), PeerId("0000"), PeerId("ffffffff"), PeerId("ffffffff@1")}) {
    const auto sent = gateway_.end->send(stranger, Committed{kRef});
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, Code::Network);
  }
  EXPECT_TRUE(gateway_.end->send(known, Committed{kRef}));
}

TEST_P(Jobs, AWorkerThatLeftIsANetworkError) {
  meet();
  const PeerId peer = gateway_.got[0].first;
  ASSERT_TRUE(worker_.end->send(Goodbye{}));
  worker_.end.reset();  // its last word still gets out
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_TRUE(std::holds_alternative<Goodbye>(gateway_.got[1].second));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.end->send(peer, Committed{kRef}); }));
  EXPECT_EQ(gateway_.end->send(peer, Committed{kRef}).error().code, Code::Network);
}

TEST_P(Jobs, ReconnectingGivesAFreshPeer) {
  meet();
  const PeerId first = gateway_.got[0].first;
  worker_.end->reconnect();
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_EQ(worker_.connected, 2);
  EXPECT_NE(gateway_.got[1].first, first);
  EXPECT_TRUE(gateway_.end->send(gateway_.got[1].first, Committed{kRef}));
  EXPECT_TRUE(drive(loop_, [&] { return worker_.got.size() == 1; }));
}

TEST_P(Jobs, AWorkerComesBackToANewGatewayByItself) {
  meet();
  gateway_.end.reset();
  ASSERT_TRUE(drive(loop_, [&] { return !worker_.end->send(Beat{}); }));
  EXPECT_EQ(worker_.end->send(Beat{}).error().code, Code::Overloaded);
  gateway_.got.clear();
  // The address is free once ZeroMQ's own thread has closed the old socket.
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.open(bus_, endpoint_).has_value(); }));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
  EXPECT_EQ(worker_.connected, 2);
}

TEST_P(Jobs, AWorkerThatComesFirstWaitsForTheGateway) {
  ASSERT_TRUE(worker_.open(bus_, endpoint_));
  const auto early = worker_.end->send(Beat{});
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Code::Overloaded);
  loop_.run_once(Millis{50});
  ASSERT_TRUE(gateway_.open(bus_, endpoint_));
  EXPECT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
}

TEST_P(Jobs, TheLargestFramePassesAndNothingLarger) {
  meet();
  const std::string text(kMaxFrame - 64, 'x');
  ASSERT_TRUE(worker_.end->send(Chunk{kRef, 1, text, true}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_EQ(std::get<Chunk>(gateway_.got[1].second).text, text);

  const auto larger = worker_.end->send(Chunk{kRef, 2, std::string(kMaxFrame, 'x'), true});
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().code, Code::Rejected);
  ASSERT_TRUE(worker_.end->send(Beat{}));  // and the connection is still the same one
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 3; }));
  EXPECT_EQ(worker_.connected, 1);
}

TEST_P(Jobs, EndsMayBeDroppedInTheirOwnHandlers) {
  std::unique_ptr<JobServer> gateway;
  std::unique_ptr<JobClient> worker;
  const std::string note = "kept alive by the handler that is running, and longer than any small string";
  std::string seen;
  gateway = bus_.serve_jobs(endpoint_, {[&, note](const PeerId& from, Message) {
                                          EXPECT_TRUE(gateway->send(from, Committed{kRef}));
                                          EXPECT_TRUE(gateway->send(from, Committed{kRef}));
                                        },
                                        {}})
                .value();
  worker = bus_.connect_jobs(endpoint_, {[&, note](Message) {
                                           worker.reset();
                                           gateway.reset();
                                           seen += note;
                                         },
                                         {},
                                         [&] { EXPECT_TRUE(worker->send(Beat{})); }})
               .value();
  ASSERT_TRUE(drive(loop_, [&] { return !seen.empty(); }));
  loop_.run_once(Millis{0});
  EXPECT_EQ(seen, note);  // the second message found nobody
}

TEST_P(Jobs, ReconnectingInsideAHandlerDropsWhatWaited) {
  std::unique_ptr<JobClient> worker;
  int got = 0;
  int connected = 0;
  ASSERT_TRUE(gateway_.open(bus_, endpoint_));
  worker = bus_.connect_jobs(endpoint_, {[&](Message) {
                                           ++got;
                                           worker->reconnect();
                                         },
                                         {},
                                         [&] {
                                           ++connected;
                                           EXPECT_TRUE(worker->send(Beat{}));
                                         }})
               .value();
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 1; }));
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(gateway_.end->send(gateway_.got[0].first, Committed{kRef}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_EQ(got, 1);
  EXPECT_EQ(connected, 2);
}

// The loop stays fair: a flood doesn't keep a timer from firing.
TEST_P(Jobs, AFloodLeavesTheLoopItsTurns) {
  meet();
  constexpr int kFlood = 8'000;
  for (int i = 0; i < kFlood; ++i)
    ASSERT_TRUE(worker_.end->send(Beat{}));
  std::size_t most_a_turn = 0;
  std::size_t before = gateway_.got.size();
  ASSERT_TRUE(drive(loop_, [&] {
    most_a_turn = std::max(most_a_turn, gateway_.got.size() - before);
    before = gateway_.got.size();
    return before == kFlood + 1;
  }));
  EXPECT_LE(most_a_turn, 512u);
}

TEST_P(Jobs, DrainedComesAfterMessagesAndAfterSends) {
  meet();
  int seen = gateway_.drained;
  EXPECT_GT(seen, 0);
  EXPECT_FALSE(gateway_.end->send("00000000", Beat{}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.drained > seen; }));
}

// ---- strange peers, spoken by ZeroMQ itself ----

TEST(JobServer, DropsWhatIsntAMessageAndSaysSo) {
  const TempDir dir;
  loop::Loop loop;
  ZmqBus bus(loop, {});
  Gateway gateway;
  ASSERT_TRUE(gateway.open(bus, dir.ipc("bus.sock")));
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::dealer);
  raw.set(zmq::sockopt::linger, 0);
  raw.connect(dir.ipc("bus.sock"));
  raw.send(zmq::str_buffer("not a frame"), zmq::send_flags::none);
  raw.send(zmq::str_buffer(""), zmq::send_flags::none);
  raw.send(zmq::str_buffer("two"), zmq::send_flags::sndmore);
  raw.send(zmq::str_buffer("parts"), zmq::send_flags::none);
  Codec codec;
  const std::string good = samples::encode(codec, Message(Beat{}));
  raw.send(zmq::buffer(good), zmq::send_flags::none);
  ASSERT_TRUE(drive(loop, [&] { return !gateway.got.empty(); }));
  ASSERT_EQ(gateway.malformed.size(), 3u);
  for (const auto& [peer, error] : gateway.malformed) {
    EXPECT_EQ(peer, gateway.got[0].first);
    EXPECT_EQ(error.code, Code::Malformed);
  }
  EXPECT_THAT(gateway.malformed[2].second.detail, HasSubstr("one part"));
  EXPECT_EQ(bus.counts().malformed, 3u);
}

TEST(JobServer, RefusesARouteThatThePeerChose) {
  const TempDir dir;
  loop::Loop loop;
  ZmqBus bus(loop, {});
  Gateway gateway;
  ASSERT_TRUE(gateway.open(bus, dir.ipc("bus.sock")));
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::dealer);
  raw.set(zmq::sockopt::linger, 0);
  raw.set(zmq::sockopt::routing_id, "someone");
  raw.connect(dir.ipc("bus.sock"));
  Codec codec;
  raw.send(zmq::buffer(samples::encode(codec, Message(Beat{}))), zmq::send_flags::none);
  ASSERT_TRUE(drive(loop, [&] { return !gateway.malformed.empty(); }));
  EXPECT_TRUE(gateway.got.empty());
  EXPECT_THAT(gateway.malformed[0].second.detail, HasSubstr("routing id"));
}

TEST(JobServer, AnOversizedFrameClosesItsConnection) {
  const TempDir dir;
  loop::Loop loop;
  ZmqBus bus(loop, {});
  Gateway gateway;
  ASSERT_TRUE(gateway.open(bus, dir.ipc("bus.sock")));
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::dealer);
  raw.set(zmq::sockopt::linger, 0);
  raw.connect(dir.ipc("bus.sock"));
  Codec codec;
  const std::string beat = samples::encode(codec, Message(Beat{}));
  raw.send(zmq::buffer(beat), zmq::send_flags::none);
  raw.send(zmq::message_t(kMaxFrame + 4096), zmq::send_flags::none);
  ASSERT_TRUE(drive(loop, [&] { return gateway.got.size() == 1; }));
  const PeerId first = gateway.got[0].first;
  // The connection is gone; ZeroMQ makes a new one, under another route.
  ASSERT_TRUE(drive(loop, [&] { return !gateway.end->send(first, Committed{kRef}); }));
  ASSERT_TRUE(drive(loop, [&] {
    return gateway.got.size() >= 2 || !raw.send(zmq::buffer(beat), zmq::send_flags::dontwait) ||
           gateway.got.size() >= 2;
  }));
  ASSERT_TRUE(drive(loop, [&] { return gateway.got.size() >= 2; }));
  EXPECT_NE(gateway.got[1].first, first);
}

TEST(JobServer, SocketFileIsForOwnerAndGroup) {
  const TempDir dir;
  loop::Loop loop;
  ZmqBus bus(loop, {});
  Gateway gateway;
  ASSERT_TRUE(gateway.open(bus, dir.ipc("bus.sock")));
  struct stat found {};
  ASSERT_EQ(::stat((dir.path() / "bus.sock").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0660u);

  Gateway second;
  const auto refused = second.open(bus, dir.ipc("bus.sock"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, HasSubstr("another process already serves"));
}

// ---- keys ----

TEST(BusKeys, TcpWithoutKeysIsRefusedOnBothSides) {
  loop::Loop loop;
  ZmqBus bus(loop, {});
  const std::string endpoint = free_tcp();
  const auto served = bus.serve_jobs(endpoint, {[](const PeerId&, Message) {}, {}});
  ASSERT_FALSE(served);
  EXPECT_EQ(served.error().code, Code::Rejected);
  EXPECT_THAT(served.error().detail, HasSubstr("katana keygen"));
  EXPECT_FALSE(bus.connect_jobs(endpoint, {[](Message) {}}));
  EXPECT_FALSE(bus.connect_heartbeats(endpoint));
  EXPECT_FALSE(bus.serve_heartbeats(endpoint, [](Heartbeat) {}));
}

/// A gateway with keys, and a second set of keys that it doesn't know.
class Strangers : public testing::Test {
 protected:
  Strangers() {
    EXPECT_TRUE(ZmqBus::make_keys(dir_.path() / "ours"));
    EXPECT_TRUE(ZmqBus::make_keys(dir_.path() / "theirs"));
    // They know where we are and our public key, but nobody let them in.
    copy("ours/server.public", "theirs/server.public");
    EXPECT_TRUE(gateway_.open(bus_, endpoint_));
  }
  void copy(const char* from, const char* to) {
    std::filesystem::copy_file(dir_.path() / from, dir_.path() / to,
                               std::filesystem::copy_options::overwrite_existing);
  }
  TempDir dir_;
  loop::Loop loop_;
  ZmqBus bus_{loop_, {dir_.path() / "ours"}};
  ZmqBus foreign_{loop_, {dir_.path() / "theirs"}};
  std::string endpoint_ = free_tcp();
  Gateway gateway_;
};

TEST_F(Strangers, GetNothing) {
  Worker stranger;
  ASSERT_TRUE(stranger.open(foreign_, endpoint_));
  Worker friendly;
  ASSERT_TRUE(friendly.open(bus_, endpoint_));
  // Turned away, while a worker of ours comes in.
  ASSERT_TRUE(drive(loop_, [&] { return bus_.counts().denied >= 1 && !gateway_.got.empty(); }));
  EXPECT_EQ(stranger.connected, 0);
  EXPECT_FALSE(stranger.end->send(Beat{}));
  EXPECT_EQ(gateway_.got.size(), 1u);
}

TEST_F(Strangers, ComeInOnceTheirKeyIsAuthorizedAndStayUntilItIsWithdrawn) {
  Worker stranger;
  ASSERT_TRUE(stranger.open(foreign_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return bus_.counts().denied >= 1; }));
  copy("theirs/worker.public", "ours/authorized/second.public");
  ASSERT_TRUE(bus_.reload_keys());
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
  const PeerId peer = gateway_.got[0].first;
  EXPECT_TRUE(gateway_.end->send(peer, Committed{kRef}));

  std::filesystem::remove(dir_.path() / "ours/authorized/second.public");
  ASSERT_TRUE(bus_.reload_keys());
  EXPECT_EQ(gateway_.end->send(peer, Committed{kRef}).error().code, Code::Network);
  ASSERT_TRUE(stranger.end->send(Beat{}));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.malformed.empty(); }));
  EXPECT_THAT(gateway_.malformed[0].second.detail, HasSubstr("withdrawn"));
  EXPECT_EQ(gateway_.got.size(), 1u);
}

TEST_F(Strangers, AFailedReloadKeepsTheKeys) {
  Worker friendly;
  ASSERT_TRUE(friendly.open(bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
  std::ofstream(dir_.path() / "ours/authorized/broken.public") << "nonsense";
  EXPECT_THAT(bus_.reload_keys().error().detail, HasSubstr("broken.public"));
  EXPECT_TRUE(gateway_.end->send(gateway_.got[0].first, Committed{kRef}));
}

TEST_F(Strangers, WithoutAnyKeyGetNothingEither) {
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::dealer);
  raw.set(zmq::sockopt::linger, 0);
  raw.connect(endpoint_);
  Codec codec;
  raw.send(zmq::buffer(samples::encode(codec, Message(Beat{}))), zmq::send_flags::none);
  Worker friendly;
  ASSERT_TRUE(friendly.open(bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
  friendly.end->reconnect();
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  for (const auto& [peer, message] : gateway_.got)
    EXPECT_TRUE(std::holds_alternative<Hello>(message));
  EXPECT_TRUE(gateway_.malformed.empty());
}

/// A gateway and a worker on two machines, and fresh keys that take the place of theirs.
class Rotation : public testing::Test {
 protected:
  Rotation() {
    EXPECT_TRUE(ZmqBus::make_keys(here_));
    EXPECT_TRUE(ZmqBus::make_keys(fresh_));
    std::filesystem::copy(here_, there_, std::filesystem::copy_options::recursive);
  }
  static void put(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  }
  TempDir dir_;
  std::filesystem::path here_ = dir_.path() / "gateway", there_ = dir_.path() / "worker",
                        fresh_ = dir_.path() / "fresh";
  loop::Loop loop_;
  ZmqBus gateway_bus_{loop_, {here_}};
  ZmqBus worker_bus_{loop_, {there_}};
  std::string endpoint_ = free_tcp();
  Gateway gateway_;
  Worker worker_;
};

TEST_F(Rotation, AWorkersNewKeyIsTakenWhileTheOldOneIsStillGood) {
  ASSERT_TRUE(gateway_.open(gateway_bus_, endpoint_));
  ASSERT_TRUE(worker_.open(worker_bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 1; }));
  put(fresh_ / "worker.public", here_ / "authorized/worker-2.public");
  ASSERT_TRUE(gateway_bus_.reload_keys());
  EXPECT_TRUE(gateway_.end->send(gateway_.got[0].first, Committed{kRef})) << "two are good for a while";

  put(fresh_ / "worker.public", there_ / "worker.public");
  put(fresh_ / "worker.secret", there_ / "worker.secret");
  ASSERT_TRUE(worker_bus_.reload_keys());
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
  EXPECT_NE(key_of(gateway_.got[1].first), key_of(gateway_.got[0].first));
  std::filesystem::remove(here_ / "authorized/worker.public");
  ASSERT_TRUE(gateway_bus_.reload_keys());
  ASSERT_TRUE(worker_.end->send(Beat{}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 3; }));
  ASSERT_TRUE(worker_bus_.reload_keys());  // nothing has changed since: nothing happens
  EXPECT_TRUE(worker_.end->send(Beat{}));
}

TEST_F(Rotation, TheGatewaysNewKeyIsTriedBeforeAndAfterItIsInUse) {
  ASSERT_TRUE(gateway_.open(gateway_bus_, endpoint_));
  ASSERT_TRUE(worker_.open(worker_bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 1; }));
  put(fresh_ / "server.public", there_ / "server.next.public");
  ASSERT_TRUE(worker_bus_.reload_keys());
  put(fresh_ / "server.public", here_ / "server.public");
  put(fresh_ / "server.secret", here_ / "server.secret");
  put(fresh_ / "server.public", here_ / "authorized/server.public");
  ASSERT_TRUE(gateway_bus_.reload_keys());
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() >= 2; }));
  EXPECT_TRUE(std::holds_alternative<Hello>(gateway_.got[1].second));
  EXPECT_TRUE(gateway_.end->send(gateway_.got[1].first, Committed{kRef}));

  // Settled: the next is the one, and a reload leaves the connection alone.
  std::filesystem::rename(there_ / "server.next.public", there_ / "server.public");
  const std::size_t before = gateway_.got.size();
  ASSERT_TRUE(worker_bus_.reload_keys());
  ASSERT_TRUE(worker_.end->send(Beat{}));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() > before; }));
  EXPECT_TRUE(std::holds_alternative<Beat>(gateway_.got[before].second));
}

TEST_F(Rotation, AWorkerThatComesWithTheKeyBeforeFindsTheNext) {
  put(fresh_ / "server.public", there_ / "server.next.public");
  put(fresh_ / "server.public", here_ / "server.public");
  put(fresh_ / "server.secret", here_ / "server.secret");
  ASSERT_TRUE(gateway_.open(gateway_bus_, endpoint_));
  ASSERT_TRUE(worker_.open(worker_bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return !gateway_.got.empty(); }));
}

TEST_F(Rotation, ANextKeyThatIsNotInUseYetKeepsNobodyOut) {
  put(fresh_ / "server.public", there_ / "server.next.public");
  ASSERT_TRUE(gateway_.open(gateway_bus_, endpoint_));
  ASSERT_TRUE(worker_.open(worker_bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 1; }));
  gateway_.end.reset();  // it is restarted, with the pair that it had
  ASSERT_TRUE(drive(loop_, [&] { return !worker_.end->send(Beat{}); }));
  worker_.end->reconnect();  // meanwhile the next key is tried
  ASSERT_TRUE(gateway_.open(gateway_bus_, endpoint_));
  ASSERT_TRUE(drive(loop_, [&] { return gateway_.got.size() == 2; }));
}

TEST_F(Rotation, TheWatchdogsToo) {
  int beats = 0;
  std::unique_ptr<HeartbeatSink> sink;
  auto listening = gateway_bus_.serve_heartbeats(endpoint_, [&](const Heartbeat&) { ++beats; });
  ASSERT_TRUE(listening);
  sink = worker_bus_.connect_heartbeats(endpoint_, [&] { sink->publish(samples::heartbeat()); }).value();
  ASSERT_TRUE(drive(loop_, [&] { return beats == 1; }));
  put(fresh_ / "watchdog.public", there_ / "watchdog.next.public");
  put(fresh_ / "watchdog.public", here_ / "watchdog.public");
  put(fresh_ / "watchdog.secret", here_ / "watchdog.secret");
  ASSERT_TRUE(gateway_bus_.reload_keys());
  ASSERT_TRUE(drive(loop_, [&] { return beats == 2; }));
}

}  // namespace
}  // namespace katana::bus
