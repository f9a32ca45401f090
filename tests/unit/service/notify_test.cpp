#include "common/service/notify.hpp"

#include <array>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/core/id.hpp"

namespace katana::service {
namespace {

/// systemd's end of the conversation.
class Listener {
 public:
  explicit Listener(const std::string& name)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    name.copy(at.sun_path, sizeof(at.sun_path) - 1);
    if (name[0] == '@') at.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&at), size), 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Listener() {
    close(fd_);
    for (const auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
      unsetenv(name);
  }
  std::string take() const {
    std::array<char, 256> text{};
    const ssize_t n = recv(fd_, text.data(), text.size(), 0);
    return n < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(n));
  }

 private:
  int fd_;
};

TEST(Notify, TellsSystemdByPathAndByAbstractName) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("katana-notify-" + fresh_id())).string();
  for (const auto& name : {path, "@katana-notify-" + fresh_id()}) {
    const Listener systemd(name);
    const Notify notify;
    notify.tell("READY=1");
    EXPECT_EQ(systemd.take(), "READY=1");
    EXPECT_EQ(notify.watchdog_period(), Millis{0});
  }
  std::filesystem::remove(path);
}

TEST(Notify, TheWatchdogIsAskedForByTimeAndProcess) {
  const Listener systemd("@katana-notify-" + fresh_id());
  setenv("WATCHDOG_USEC", "6000000", 1);
  EXPECT_EQ(Notify().watchdog_period(), Millis{2000});
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(Notify().watchdog_period(), Millis{2000});
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(Notify().watchdog_period(), Millis{0});
}

TEST(Notify, WithoutSystemdNothingHappens) {
  const Notify notify;
  notify.tell("READY=1");
  EXPECT_EQ(notify.watchdog_period(), Millis{0});
  setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  Notify().tell("READY=1");
  unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace katana::service
