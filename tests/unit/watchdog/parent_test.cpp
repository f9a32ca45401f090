#include "watchdog/supervisor/parent.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/core/id.hpp"

namespace katana::watchdog {
namespace {

namespace fs = std::filesystem;

/// The parent with shell scripts as its processes: real children, pipes and signals. A test ends it as an
/// operator does.
class ParentTest : public testing::Test {
 protected:
  ParentTest() : directory(fs::temp_directory_path() / ("katana-parent-" + fresh_id())) {
    fs::create_directories(directory);
  }
  ~ParentTest() override { fs::remove_all(directory); }

  static Program script(const std::string& name, const std::string& component, const std::string& text) {
    return {name, component, {"/bin/sh", "-c", text}, {"PATH=/usr/bin:/bin"}};
  }
  /// Writes down every line from the parent, orders the gateway when it may, and lives until it is told to
  /// end.
  Program watchdog(const std::string& more = "") const {
    return script("watchdog", "watchdog",
                  "trap 'exit 0' TERM; while read -r line; do echo \"wd $line\" >> " + file("seen") +
                      "; case $line in begin) echo 'start gateway' >&0;; esac; " + more + " done");
  }
  std::string file(const std::string& name) const { return (directory / name).string(); }
  std::string read(const std::string& name) const {
    std::ifstream in(file(name));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Runs the parent; `step` is asked again and again, and returns true when it is done: then everything is
  /// stopped.
  int run(std::vector<Program> programs, Program wd, const std::function<bool()>& step) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    Parent parent(loop, clock, std::move(programs), std::move(wd), ends[1]);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    bool done = false;
    const auto timer = loop.every(Millis{10}, [&] {
      const bool late = std::chrono::steady_clock::now() > end;
      if (done || (!late && !step())) return;
      EXPECT_FALSE(late) << read("seen");
      done = true;
      raise(SIGTERM);
    });
    const int status = parent.run();
    close(ends[1]);
    char buffer[65536];
    const auto n = ::read(ends[0], buffer, sizeof buffer);
    output.assign(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
    close(ends[0]);
    return status;
  }

  fs::path directory;
  loop::Loop loop;
  SystemClock clock;
  std::string output;
};

constexpr const char* kSleeper = "trap 'exit 0' TERM; echo started; while :; do sleep 0.05; done";

TEST_F(ParentTest, StartsOnOrderCopiesOutputAndStopsEverything) {
  const std::string sleeper =
      "trap 'exit 0' TERM; echo started; echo > " + file("said") + "; while :; do sleep 0.05; done";
  const int status = run({script("gateway", "gateway", sleeper)}, watchdog(), [&] {
    return fs::exists(file("said")) && read("seen").find("running gateway") != std::string::npos;
  });
  EXPECT_EQ(status, 0);
  const auto seen = read("seen");
  EXPECT_EQ(seen.rfind("wd plan gateway gateway\nwd begin\nwd running gateway ", 0), 0u) << seen;
  EXPECT_NE(output.find("started\n"), std::string::npos);
}

TEST_F(ParentTest, TellsAnExitWithTheLineOfARefusal) {
  run({script("gateway", "gateway", "echo first; echo 'KATANA_STORE: wrong' >&2; exit 2")}, watchdog(),
      [&] { return read("seen").find("exited gateway") != std::string::npos; });
  const auto seen = read("seen");
  EXPECT_NE(seen.find(" 2 0 KATANA_STORE: wrong\n"), std::string::npos) << seen;
}

TEST_F(ParentTest, AWatchdogThatDiesIsReplacedAndToldWhatRuns) {
  bool killed = false;
  run({script("gateway", "gateway", kSleeper)}, watchdog("echo $$ > " + file("pid") + ";"), [&] {
    const auto seen = read("seen");
    if (!killed && seen.find("running gateway") != std::string::npos) {
      std::ifstream in(file("pid"));
      pid_t pid = 0;
      killed = (in >> pid) && ::kill(pid, SIGKILL) == 0;
    }
    return killed && seen.find("replaced") != std::string::npos &&
           seen.find("begin", seen.find("replaced")) != std::string::npos;
  });
  auto seen = read("seen");
  seen.erase(0, seen.find("wd replaced"));
  EXPECT_NE(seen.find(" 0 9\nwd plan gateway gateway\nwd running gateway "), std::string::npos) << seen;
  // The order of the new watchdog changes nothing: it runs already.
  EXPECT_EQ(output.find("started\n"), output.rfind("started\n"));
}

TEST_F(ParentTest, ADeathWhileNobodyWatchedIsToldLater) {
  // The first watchdog ends as soon as the gateway runs, and takes it along.
  const auto wd = script("watchdog", "watchdog",
                         "trap 'exit 0' TERM; while read -r line; do echo \"wd $line\" >> " + file("seen") +
                             "; case $line in begin) [ -e " + file("twice") +
                             " ] || echo 'start gateway' >&0;;"
                             " running*) [ -e " +
                             file("twice") + " ] || { touch " + file("twice") +
                             "; set -- $line; kill -9 $3 $$; };; esac; done");
  run({script("gateway", "gateway", kSleeper)}, wd, [&] {
    const auto seen = read("seen");
    const auto from = seen.find("replaced");
    return from != std::string::npos && seen.find("begin", from) != std::string::npos &&
           seen.find("exited gateway", from) != std::string::npos;
  });
  SUCCEED();
}

TEST_F(ParentTest, ADeathThatIsKeptIsToldOnce) {
  // The watchdog keeps the gateway's death and ends; its successor must not hear of it.
  const auto wd = script("watchdog", "watchdog",
                         "trap 'exit 0' TERM; while read -r line; do echo \"wd $line\" >> " + file("seen") +
                             "; case $line in begin) [ -e " + file("twice") +
                             " ] || echo 'start gateway' >&0;;"
                             " exited*) set -- $line; echo \"kept $2 $3\" >&0; touch " +
                             file("twice") + "; kill -9 $$;; esac; done");
  run({script("gateway", "gateway", "exit 1")}, wd, [&] {
    const auto seen = read("seen");
    const auto from = seen.find("replaced");
    return from != std::string::npos && seen.find("begin", from) != std::string::npos;
  });
  const auto seen = read("seen");
  EXPECT_EQ(seen.find("exited"), seen.rfind("exited")) << seen;
}

TEST_F(ParentTest, HundredsOfLinesReachAWatchdogThatReadsThemLate) {
  std::vector<Program> programs;
  for (int i = 0; i < 400; ++i)
    programs.push_back(script("worker-" + std::to_string(i) + std::string(40, 'x'), "claude", "exit 0"));
  // It reads when the socket has been full for a while; however long that is, no line may be missing.
  const auto wd = script("watchdog", "watchdog", "sleep 1; exec cat > " + file("seen"));
  run(std::move(programs), wd, [&] { return read("seen").find("begin\n") != std::string::npos; });
  std::size_t plans = 0;
  const auto seen = read("seen");
  for (auto at = seen.find("plan worker-"); at != std::string::npos; at = seen.find("plan worker-", at + 1))
    ++plans;
  EXPECT_EQ(plans, 400u);
}

TEST_F(ParentTest, AReplacementThatRefusesASettingStopsNobody) {
  // The first one runs the gateway and dies; the second finds a secret's file unreadable; then that is
  // mended.
  const auto wd =
      script("watchdog", "watchdog",
             "trap 'exit 0' TERM; echo x >> " + file("lives") + "; [ $(wc -l < " + file("lives") +
                 ") != 2 ] || exit 2; while read -r line; do echo \"wd $line\" >> " + file("seen") +
                 "; case $line in begin) echo 'start gateway' >&0;; running*) [ -e " + file("once") +
                 " ] || { touch " + file("once") + "; kill -9 $$; };; esac; done");
  const int status = run({script("gateway", "gateway", kSleeper)}, wd, [&] {
    return read("lives") == "x\nx\nx\n" && read("seen").find("replaced") != std::string::npos;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(output.find("started\n"), output.rfind("started\n")) << "the gateway lived on";
}

TEST_F(ParentTest, TheWatchdogStopsLast) {
  const auto stopper = [&](const std::string& name) {
    return "trap 'echo " + name + " >> " + file("order") + "; exit 0' TERM; echo > " + file("ready-" + name) +
           "; while :; do sleep 0.02; done";
  };
  const auto wd =
      script("watchdog", "watchdog",
             "trap 'echo watchdog >> " + file("order") +
                 "; exit 0' TERM; while read -r line; do echo \"$line\" >> " + file("seen") +
                 "; case $line in begin) echo 'start gateway' >&0; echo 'start claude-1' >&0;; esac; done");
  run({script("gateway", "gateway", stopper("gateway")), script("claude-1", "claude", stopper("claude"))}, wd,
      [&] {
        const auto seen = read("seen");
        return seen.find("running gateway") != std::string::npos &&
               seen.find("running claude-1") != std::string::npos && fs::exists(file("ready-gateway")) &&
               fs::exists(file("ready-claude"));  // their traps stand
      });
  const std::string order = read("order");
  EXPECT_NE(order.find("gateway\n"), std::string::npos);
  EXPECT_NE(order.find("claude\n"), std::string::npos);
  EXPECT_TRUE(order.ends_with("watchdog\n")) << order;
  EXPECT_NE(read("seen").find("stopping"), std::string::npos);
}

TEST_F(ParentTest, ASecondSignalKillsWhatDoesNotStop) {
  int signals = 0;
  const auto stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.05; done";
  loop::Timer again;
  const int status = run({script("gateway", "gateway", stubborn)}, watchdog(), [&] {
    if (read("seen").find("running gateway") == std::string::npos || signals++ < 20) return false;
    again = loop.after(Millis{200}, [] { raise(SIGTERM); });
    return true;
  });
  EXPECT_EQ(status, 130);
}

}  // namespace
}  // namespace katana::watchdog
