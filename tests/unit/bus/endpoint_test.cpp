#include "common/bus/endpoint.hpp"

#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/bus/world.hpp"

namespace katana::bus {
namespace {

using testing::HasSubstr;

TEST(Endpoint, TakesIpcAndTcp) {
  for (const char* good : {"ipc:///run/katana/bus.sock", "ipc://state/bus.sock", "tcp://127.0.0.1:5555",
                           "tcp://[::1]:5555", "tcp://gateway.internal:65535"}) {
    for (const auto use : {Endpoint::Use::Bind, Endpoint::Use::Connect}) {
      const auto endpoint = parse_endpoint(good, use);
      ASSERT_TRUE(endpoint) << endpoint.error().detail;
      EXPECT_EQ(endpoint->needs_keys(), std::string(good).starts_with("tcp"));
    }
  }
  EXPECT_TRUE(parse_endpoint("tcp://*:5555", Endpoint::Use::Bind));
}

TEST(Endpoint, RefusesTheRestAndSaysWhy) {
  const struct {
    std::string text;
    const char* why;
  } cases[] = {{"", "ipc:// or tcp://"},
               {"udp://h:1", "ipc:// or tcp://"},
               {"inproc://x", "ipc:// or tcp://"},
               {"ipc://", "needs a path"},
               {"ipc://@abstract", "file system"},
               {"ipc://*", "file system"},
               {"ipc:///" + std::string(200, 'p'), "107 bytes"},
               {"tcp://host", "HOST:PORT"},
               {"tcp://:5555", "HOST:PORT"},
               {"tcp://host:", "1 to 65535"},
               {"tcp://host:0", "1 to 65535"},
               {"tcp://host:65536", "1 to 65535"},
               {"tcp://host:55x", "1 to 65535"},
               {"tcp://host:*", "1 to 65535"},
               {"tcp://::1:5555", "brackets"},
               {"tcp://a b:5555", "character"},
               {"tcp://eth0;host:5555", "character"},
               {"tcp://*:5555", "instead of *"}};
  for (const auto& c : cases) {
    const auto endpoint = parse_endpoint(c.text, Endpoint::Use::Connect);
    ASSERT_FALSE(endpoint) << c.text;
    EXPECT_EQ(endpoint.error().code, Code::Rejected);
    EXPECT_THAT(endpoint.error().detail, HasSubstr(c.why));
  }
}

int listening_socket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd, 1), 0);
  return fd;
}

TEST(StaleSocket, OfADeadProcessIsTakenAway) {
  const TempDir dir;
  const std::string path = dir.path() / "bus.sock";
  ::close(listening_socket(path));
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(clear_stale_socket(path));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(clear_stale_socket(path));  // nothing there: nothing to do
}

TEST(StaleSocket, OfALivingProcessStays) {
  const TempDir dir;
  const std::string path = dir.path() / "bus.sock";
  const int fd = listening_socket(path);
  const auto cleared = clear_stale_socket(path);
  ASSERT_FALSE(cleared);
  EXPECT_THAT(cleared.error().detail, HasSubstr("another process already serves"));
  EXPECT_TRUE(std::filesystem::exists(path));
  ::close(fd);
}

TEST(StaleSocket, AFileOrAMissingDirectoryIsRefused) {
  const TempDir dir;
  const std::string path = dir.path() / "bus.sock";
  std::ofstream(path) << "precious";
  EXPECT_THAT(clear_stale_socket(path).error().detail, HasSubstr("isn't a socket"));
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_THAT(clear_stale_socket((dir.path() / "missing" / "bus.sock").string()).error().detail,
              HasSubstr("no directory"));
}

}  // namespace
}  // namespace katana::bus
