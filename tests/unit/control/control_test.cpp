#include "common/control/control.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/control/wire.hpp"

namespace katana::control {
namespace {

using testing::HasSubstr;

constexpr Millis kGenerous{20'000};

/// A loop on this thread, a server in a directory of the test's own, and askers on other threads.
class Control : public testing::Test {
 protected:
  Control() {
    std::string pattern = (std::filesystem::temp_directory_path() / "katana-control-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    directory_ = pattern;
    path_ = pattern + "/gateway.sock";
  }
  ~Control() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void serve(ControlServer::Handler handler) {
    auto server = ControlServer::listen(loop_, path_, std::move(handler));
    ASSERT_TRUE(server) << server.error().detail;
    server_ = std::move(*server);
  }

  /// Turns the loop until `done`.
  template <class Done>
  void turn_until(Done done) {
    const Mono deadline = std::chrono::steady_clock::now() + kGenerous;
    bool happened = done();
    while (!happened && std::chrono::steady_clock::now() < deadline) {
      loop_.run_once(Millis{5});
      happened = done();
    }
    EXPECT_TRUE(happened);
  }

  Result<Answer> ask_it(const Request& request, Millis timeout = kGenerous) {
    auto answer = std::async(std::launch::async, [&] { return ask(path_, request, timeout); });
    turn_until([&] { return answer.wait_for(Millis{0}) == std::future_status::ready; });
    return answer.get();
  }

  /// Sends bytes as they are and gives all that comes back until the server closes.
  std::string raw(const std::string& bytes) {
    auto reply = std::async(std::launch::async, [&] {
      const int fd = connected();
      [[maybe_unused]] const ssize_t ignored = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      std::string out;
      char part[4096];
      for (ssize_t n = 0; (n = recv(fd, part, sizeof(part), 0)) > 0;)
        out.append(part, static_cast<std::size_t>(n));
      close(fd);
      return out;
    });
    turn_until([&] { return reply.wait_for(Millis{0}) == std::future_status::ready; });
    return reply.get();
  }

  int connected() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = socket_address(path_).value();
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  loop::Loop loop_;
  std::filesystem::path directory_;
  std::string path_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(Control, AnswersWhatIsAsked) {
  serve([](const Request& r, const ControlServer::Reply& reply) {
    reply({3, r.verb + ":" + (r.words.empty() ? "" : r.words.front())});
  });
  struct stat info {};
  ASSERT_EQ(lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660U);
  const auto answer = ask_it({"allow", {"CODE"}});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->status, 3);
  EXPECT_EQ(answer->text, "allow:CODE");
}

TEST_F(Control, MayAnswerLaterAndALongText) {
  loop::Timer later;
  const std::string text(900'000, 'x');
  serve([&](const Request&, ControlServer::Reply reply) {
    later = loop_.after(Millis{20}, [reply, &text] { reply({0, text}); });
  });
  const auto answer = ask_it({"users", {}});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->text, text);
}

TEST_F(Control, AnAnswerOverTheLimitIsReplacedByAnError) {
  serve([](const Request&, const ControlServer::Reply& reply) { reply({0, std::string(2 << 20, 'x')}); });
  const auto answer = ask_it({"users", {}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 1);
  EXPECT_THAT(answer->text, HasSubstr("1 MiB"));
}

TEST_F(Control, BadLinesAreAnsweredAndHandledByNobody) {
  serve([](const Request&, const ControlServer::Reply&) { FAIL(); });
  EXPECT_EQ(raw("nonsense\n"), "{\"status\":2,\"text\":\"Not understood: the request is not JSON.\"}\n");
  EXPECT_THAT(raw(std::string((64 << 10) + 1, 'x')), HasSubstr("longer than 64 KiB"));
}

TEST_F(Control, RequestsMayComeByteByByte) {
  serve([](const Request& r, const ControlServer::Reply& reply) { reply({0, r.verb}); });
  const std::string line = write_request({"status", {}});
  const int fd = connected();
  for (const char c : line) {
    ASSERT_EQ(send(fd, &c, 1, 0), 1);
    loop_.run_once(Millis{0});
  }
  char part[256];
  ssize_t n = -1;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  turn_until([&] { return (n = recv(fd, part, sizeof(part), 0)) > 0; });
  EXPECT_EQ(std::string(part, static_cast<std::size_t>(n)), write_answer({0, "status"}));
  close(fd);
}

TEST_F(Control, AReplyToNobodyDoesNothing) {
  ControlServer::Reply kept;
  serve([&](const Request&, ControlServer::Reply reply) { kept = std::move(reply); });
  const int fd = connected();
  const auto line = write_request({"status", {}});
  ASSERT_EQ(send(fd, line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
  turn_until([&] { return kept != nullptr; });
  close(fd);
  for (int i = 0; i < 5; ++i)
    loop_.run_once(Millis{1});
  kept({0, "too late"});
  server_.reset();
  kept({0, "later still"});
}

TEST_F(Control, MoreConnectionsThanTheLimitAreClosed) {
  serve([](const Request&, const ControlServer::Reply& reply) { reply({0, "yes"}); });
  std::vector<int> idle;
  for (int i = 0; i < 32; ++i) {
    idle.push_back(connected());
    loop_.run_once(Millis{1});
  }
  const auto refused = ask_it({"status", {}});
  EXPECT_FALSE(refused);
  for (const int fd : idle)
    close(fd);
  for (int i = 0; i < 40; ++i)
    loop_.run_once(Millis{1});
  EXPECT_TRUE(ask_it({"status", {}}));
}

TEST_F(Control, AStaleSocketIsReplacedALivingOneIsNot) {
  const int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = socket_address(path_).value();
  ASSERT_EQ(bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  close(dead);
  serve([](const Request&, const ControlServer::Reply& reply) { reply({0, "first"}); });
  const auto second = ControlServer::listen(loop_, path_, nullptr);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().detail, HasSubstr("another process answers on "));
  EXPECT_EQ(ask_it({"status", {}})->text, "first");
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  std::ofstream(path_) << "a file";
  EXPECT_THAT(ControlServer::listen(loop_, path_, nullptr).error().detail, HasSubstr("is not a socket"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(Control, WithoutAProcessTheMendIsSaid) {
  EXPECT_EQ(ask(path_, {"status", {}}, Millis{100}).error().detail,
            "katana-gateway is not running (nothing answers on " + path_ +
                "); start it with: katana up (or: systemctl start katana-gateway)");
}

TEST_F(Control, AProcessThatNeverAnswersIsNotWaitedForForEver) {
  serve([](const Request&, const ControlServer::Reply&) {});
  const auto answer = ask_it({"status", {}}, Millis{50});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::Timeout);
}

}  // namespace
}  // namespace katana::control
