#include "common/loop/loop.hpp"

#include <chrono>
#include <csignal>
#include <ctime>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace katana::loop {
namespace {

/// Turns the loop until `done`, for at most 20 s.
template <class Done>
bool drive(Loop& loop, Done done) {
  const auto end = std::chrono::steady_clock::now() + Seconds{20};
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.run_once(Millis{100});
  }
  return true;
}

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0); }
  ~Pipe() {
    close_write();
    close(fds[0]);
  }
  void close_write() {
    if (fds[1] >= 0) close(fds[1]);
    fds[1] = -1;
  }
  int fds[2] = {-1, -1};
};

TEST(Loop, TimersFireInOrderAndNeverEarly) {
  Loop loop;
  std::string order;
  const auto began = std::chrono::steady_clock::now();
  Millis took{};
  auto b = loop.after(Millis{30}, [&] {
    order += "b";
    took = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - began);
  });
  auto a = loop.after(Millis{5}, [&] { order += "a"; });
  auto zero = loop.after(Millis{0}, [&] { order += "0"; });
  ASSERT_TRUE(drive(loop, [&] { return order.size() == 3; }));
  EXPECT_EQ(order, "0ab");
  EXPECT_GE(took.count(), 30);
}

TEST(Loop, ADroppedTimerIsSilent) {
  Loop loop;
  int fired = 0;
  auto a = loop.after(Millis{1}, [&] { ++fired; });
  a.reset();
  bool end = false;
  auto b = loop.after(Millis{10}, [&] { end = true; });
  ASSERT_TRUE(drive(loop, [&] { return end; }));
  EXPECT_EQ(fired, 0);
}

TEST(Loop, EveryRepeatsUntilDroppedInItsOwnCallback) {
  Loop loop;
  int fired = 0;
  const auto token = std::make_shared<int>(7);
  Timer tick;
  tick = loop.every(Millis{1}, [&, token] {
    if (++fired == 3) {
      tick.reset();
      EXPECT_EQ(*token, 7) << "captures live until the callback returns";
    }
  });
  bool end = false;
  auto b = loop.after(Millis{30}, [&] { end = true; });
  ASSERT_TRUE(drive(loop, [&] { return end; }));
  EXPECT_EQ(fired, 3);
  EXPECT_EQ(token.use_count(), 1) << "and are then let go";
}

/// By whole milliseconds of the clock that the loop goes by.
std::int64_t phase(Millis period) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::floor<Millis>(now).count() % period.count();
}

TEST(Loop, LongPeriodsShareTheirTurns) {
  Loop loop;
  const auto began = std::chrono::steady_clock::now();
  Millis first{};
  int turns = 0, both = 0, fired = 0;
  auto turn = loop.after_wait([&] { ++turns; });
  int last = -1;
  auto slow = loop.every(Millis{200}, [&] { last = turns; });
  // They are asked for at different times, and would otherwise never meet.
  std::this_thread::sleep_for(Millis{30});
  auto quick = loop.every(Millis{100}, [&] {
    if (fired++ == 0) first = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - began);
    both += last == turns;
  });
  ASSERT_TRUE(drive(loop, [&] { return fired >= 8; }));
  EXPECT_GE(both, 1);
  EXPECT_GE(first.count(), 50) << "half a period at least";
}

TEST(Loop, ALateTimerIsInTimeAgain) {
  Loop loop;
  constexpr Millis kPeriod{100};
  int fired = 0;
  bool in_time = false;
  auto tick = loop.every(kPeriod, [&] {
    // The stall that makes the second one late by half a period.
    if (++fired == 1) std::this_thread::sleep_for(Millis{150});
    // Whatever the machine does besides: of the next twenty one comes near its hour.
    if (fired > 2 && phase(kPeriod) < 25) in_time = true;
  });
  ASSERT_TRUE(drive(loop, [&] { return fired >= 22 || in_time; }));
  EXPECT_TRUE(in_time);
}

TEST(Loop, ATimerMayBeReplacedInItsOwnCallback) {
  Loop loop;
  std::string order;
  Timer t;
  t = loop.after(Millis{1}, [&] {
    order += "1";
    t = loop.after(Millis{1}, [&] { order += "2"; });
  });
  ASSERT_TRUE(drive(loop, [&] { return order == "12"; }));
}

TEST(Loop, RunGoesOnWithNothingToWaitForUntilStopped) {
  Loop loop;
  std::thread other([&] { loop.post([&] { loop.stop(); }); });
  loop.run();
  other.join();
}

TEST(Loop, HandlesMayOutliveTheLoop) {
  std::optional<Loop> loop(std::in_place);
  Pipe pipe;
  auto timer = loop->after(Millis{1}, [] {});
  auto hook = loop->before_wait([] {});
  auto watch = loop->watch(pipe.fds[0], Io::Read, [](Ready) {});
  auto signal = loop->on_signal(SIGUSR1, [](int) {});
  loop.reset();
  timer.reset();
}

TEST(Loop, PostFromManyThreadsLosesNothing) {
  Loop loop;
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  int seen = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i)
        loop.post([&] { ++seen; });
    });
  }
  EXPECT_TRUE(drive(loop, [&] { return seen == kThreads * kEach; }));
  for (auto& t : threads)
    t.join();
}

TEST(Loop, LaterRunsBeforeTheNextWaitAndAfterTheCallback) {
  Loop loop;
  std::string order;
  auto t = loop.after(Millis{0}, [&] {
    loop.later([&] { order += "later "; });
    order += "callback ";
  });
  auto far = loop.after(Seconds{15}, [] {});
  ASSERT_TRUE(drive(loop, [&] { return order == "callback later "; })) << order;
}

TEST(Loop, LaterThatAsksForMoreDoesNotStarveIo) {
  Loop loop;
  Pipe pipe;
  ASSERT_EQ(write(pipe.fds[1], "x", 1), 1);
  bool readable = false;
  auto watch = loop.watch(pipe.fds[0], Io::Read, [&](Ready r) { readable = r.readable; });
  std::function<void()> again = [&] {
    if (!readable) loop.later(again);
  };
  loop.later(again);
  ASSERT_TRUE(drive(loop, [&] { return readable; }));
}

TEST(Loop, AnIdleLoopUsesNoProcessorAndMakesNoTurns) {
  Loop loop;
  int turns = 0;
  bool end = false;
  loop.later([] {});
  auto hook = loop.before_wait([&] { ++turns; });
  auto timer = loop.after(Millis{200}, [&] {
    end = true;
    loop.stop();
  });
  loop.run();
  EXPECT_TRUE(end);
  EXPECT_LE(turns, 4);
}

TEST(Loop, ATurnWaitsNoLongerThanItsLimit) {
  // Libuv counts whole milliseconds and looks at its timers before it waits. Begun at the very end of a
  // millisecond, some of these turns find that their limit has passed by then.
  Loop loop;
  for (int i = 0; i < 300; ++i) {
    const auto begin = std::chrono::nanoseconds{999'990 - 50 * i};
    while (std::chrono::steady_clock::now().time_since_epoch() % Millis{1} < begin) {
    }
    loop.run_once(Millis{1});
  }
}

TEST(Loop, HooksRunInOrderAroundTheWait) {
  Loop loop;
  std::string order;
  auto a = loop.before_wait([&] { order += "a"; });
  auto b = loop.before_wait([&] { order += "b"; });
  Handle c;
  c = loop.after_wait([&] {
    order += "c";
    c.reset();
  });
  loop.run_once(Millis{0});
  b.reset();
  loop.run_once(Millis{0});
  EXPECT_EQ(order, "abca");
}

TEST(Loop, WatchTellsReadableAndWritable) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  bool readable = false;
  bool writable = false;
  auto watch = loop.watch(pair[0], Io::Both, [&](Ready r) {
    readable |= r.readable;
    writable |= r.writable;
  });
  ASSERT_TRUE(drive(loop, [&] { return writable; }));
  EXPECT_FALSE(readable);
  ASSERT_EQ(write(pair[1], "x", 1), 1);
  ASSERT_TRUE(drive(loop, [&] { return readable; }));
  watch.reset();
  close(pair[0]);
  close(pair[1]);
}

TEST(Loop, AWatchDroppedInItsOwnCallbackIsSilent) {
  Loop loop;
  Pipe pipe;
  ASSERT_EQ(write(pipe.fds[1], "x", 1), 1);
  int calls = 0;
  Handle watch;
  watch = loop.watch(pipe.fds[0], Io::Read, [&](Ready) {
    ++calls;
    watch.reset();
  });
  bool end = false;
  auto timer = loop.after(Millis{10}, [&] { end = true; });
  ASSERT_TRUE(drive(loop, [&] { return end; }));
  EXPECT_EQ(calls, 1);
}

TEST(Loop, AFileThatCannotBeWatchedReportsFailed) {
  Loop loop;
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  bool failed = false;
  auto watch = loop.watch(fd, Io::Read, [&](Ready r) { failed = r.failed; });
  EXPECT_FALSE(failed) << "never inside watch()";
  ASSERT_TRUE(drive(loop, [&] { return failed; }));
  close(fd);
}

TEST(Loop, SignalsArriveAsCallbacks) {
  Loop loop;
  int got = 0;
  auto signal = loop.on_signal(SIGUSR1, [&](int n) { got = n; });
  raise(SIGUSR1);
  ASSERT_TRUE(drive(loop, [&] { return got == SIGUSR1; }));
}

TEST(Loop, LastTurnTellsALongCallback) {
  Loop loop;
  bool done = false;
  auto busy = loop.after(Millis{1}, [&] {
    const auto until = std::chrono::steady_clock::now() + Millis{30};
    while (std::chrono::steady_clock::now() < until) {
    }
    EXPECT_GE(loop.last_turn().count(), 29) << "the running turn counts";
    done = true;
  });
  ASSERT_TRUE(drive(loop, [&] { return done; }));
  loop.run_once(Millis{0});
  bool waited = false;
  auto wait = loop.after(Millis{40}, [&] { waited = true; });
  ASSERT_TRUE(drive(loop, [&] { return waited; }));
  EXPECT_LT(loop.last_turn().count(), 25) << "waiting isn't work";
}

// ---- children ----

struct Ran {
  Exit exit;
  std::string out;
};

/// Runs `script` in a shell and gathers its standard output.
std::optional<Ran> run_shell(Loop& loop, const std::string& script, std::vector<std::string> env = {}) {
  Pipe pipe;
  std::optional<Exit> ended;
  ChildSpec spec;
  spec.argv = {"/bin/sh", "-c", script};
  spec.env = std::move(env);
  spec.stdout_fd = pipe.fds[1];
  auto child = loop.spawn(spec, [&](Exit e) { ended = e; });
  if (!child) return std::nullopt;
  EXPECT_GT(child->pid(), 0);
  pipe.close_write();
  if (!drive(loop, [&] { return ended.has_value(); })) return std::nullopt;
  EXPECT_EQ(child->pid(), 0);
  child->signal(SIGKILL);  // nothing to hit any more
  Ran ran{*ended, {}};
  char buffer[4096];
  for (ssize_t n = 0; (n = read(pipe.fds[0], buffer, sizeof buffer)) > 0;)
    ran.out.append(buffer, n);
  return ran;
}

TEST(Child, GetsItsEnvironmentAndNothingElseAndReportsItsStatus) {
  Loop loop;
  setenv("KATANA_TEST_LEAK", "leaked", 1);
  const auto ran = run_shell(loop, "echo \"[$ONE][$KATANA_TEST_LEAK]\"; exit 7", {"ONE=1"});
  unsetenv("KATANA_TEST_LEAK");
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->out, "[1][]\n");
  EXPECT_EQ(ran->exit.status, 7);
  EXPECT_EQ(ran->exit.signal, 0);
}

TEST(Child, InheritsNoDescriptorOfOurs) {
  Loop loop;
  const int leak = open("/dev/null", O_RDONLY);  // without close-on-exec, on purpose
  ASSERT_GE(leak, 3);
  const auto ran = run_shell(loop,
                             "for f in /proc/$$/fd/*; do n=${f##*/}; [ $n -ge 3 ] && [ $n -ne 255 ] && "
                             "readlink $f; done; readlink /proc/$$/fd/0");
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->out.find("pipe"), std::string::npos) << ran->out;
  EXPECT_EQ(ran->out.find("/dev/null"), ran->out.rfind("/dev/null")) << "standard input alone: " << ran->out;
  close(leak);
}

TEST(Child, HasItsOwnGroupAndAnEmptySignalMask) {
  Loop loop;
  sigset_t block;
  sigset_t old;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &block, &old);
  const auto ran = run_shell(loop,
                             "read a b c d pgrp rest < /proc/$$/stat; [ $pgrp = $$ ] && echo group; "
                             "while read k v; do [ $k = SigBlk: ] && echo $v; done < /proc/$$/status; true");
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->out, "group\n0000000000000000\n");
}

TEST(Child, TellsTheSignalThatEndedIt) {
  Loop loop;
  std::optional<Exit> ended;
  auto child = loop.spawn({{"sleep", "60"}, {}}, [&](Exit e) { ended = e; });
  ASSERT_TRUE(child) << child.error().detail;
  child->signal(SIGKILL);
  ASSERT_TRUE(drive(loop, [&] { return ended.has_value(); }));
  EXPECT_EQ(ended->signal, SIGKILL);
}

TEST(Child, AMissingProgramIsAnErrorThatNamesIt) {
  Loop loop;
  const auto child = loop.spawn({{"/no/such/program"}, {}}, [](Exit) { FAIL(); });
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::Internal);
  EXPECT_EQ(child.error().detail, "starting /no/such/program: no such file or directory");
  loop.run_once(Millis{1});
}

TEST(Child, DroppedBeforeItsEndItIsReapedWithoutAReport) {
  Loop loop;
  bool reported = false;
  pid_t pid = 0;
  {
    auto child = loop.spawn({{"sleep", "0.05"}, {}}, [&](Exit) { reported = true; });
    ASSERT_TRUE(child) << child.error().detail;
    pid = child->pid();
  }
  ASSERT_TRUE(drive(loop, [&] { return kill(pid, 0) != 0; })) << "no zombie stays";
  EXPECT_FALSE(reported);
}

}  // namespace
}  // namespace katana::loop
