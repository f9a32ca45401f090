// What the store costs a message: bytes written, messages a second, and how long `applied` and `durable`
// take. store_bench DIRECTORY [CHATS [MESSAGES [ANSWER_BYTES]]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/clock.hpp"
#include "common/core/id.hpp"
#include "common/loop/loop.hpp"
#include "gateway/store/sql_store.hpp"

namespace katana::gateway {
namespace {

std::uint64_t bytes_written() {
  std::ifstream io("/proc/self/io");
  std::string name;
  std::uint64_t value = 0;
  while (io >> name >> value) {
    if (name == "wchar:") return value;
  }
  return 0;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::int64_t file_size(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? static_cast<std::int64_t>(found.st_size) : 0;
}

/// Durations in microseconds, and what stands at a part of them.
struct Times {
  std::vector<double> all;
  void add(Mono from, Mono to) {
    all.push_back(std::chrono::duration<double, std::micro>(to - from).count());
  }
  double at(double part) {
    if (all.empty()) return 0;
    std::sort(all.begin(), all.end());
    return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  }
};

/// Chats that ask again as soon as they are answered, each message by the gateway's own steps.
class Load {
 public:
  Load(loop::Loop& loop, Store& store, const Clock& clock, int messages, std::size_t answer_bytes)
      : loop_(loop),
        store_(store),
        clock_(clock),
        left_(messages),
        to_end_(messages),
        answer_(answer_bytes, 'a') {}

  void ask(std::int64_t chat) {
    if (left_-- <= 0) return;
    Intake intake;
    intake.update_id = ++update_;
    intake.seen_at = clock_.wall();
    intake.chat = {chat, 0};
    intake.prompt = Prompt{chat, update_, std::string(60, 'q'), false, clock_.wall()};
    const Mono asked = clock_.mono();
    store_.accept({std::move(intake)}, {[this, asked](const Result<std::vector<Accepted>>& accepted) {
                                          applied.add(asked, clock_.mono());
                                          lease(accepted.value()[0].turn.value());
                                        },
                                        [this, asked, chat](Result<std::vector<Accepted>> accepted) {
                                          durable.add(asked, clock_.mono());
                                          placeholder(accepted.value()[0].turn.value(), chat);
                                        }});
  }
  [[nodiscard]] bool ended() const { return to_end_ == 0; }
  Times applied;
  Times durable;

 private:
  void lease(const OpenedTurn& turn) {
    store_.lease({turn.job_id, 1}, "k7m2xq9tabcd", "claude", "claude-sonnet-5-5", 0,
                 {[](const Result<LeasedJob>& job) { job.value(); }, {}});
  }
  void placeholder(const OpenedTurn& turn, std::int64_t chat) {
    store_.part_sent(turn.placeholder_id, 100'000 + turn.turn_id, {});
    store_.settle({{turn.job_id, 1},
                   "claude",
                   "claude-sonnet-5-5",
                   answer_,
                   true,
                   "",
                   {900, 60, 0, 0},
                   "req_0123456789"},
                  {{}, [this, turn, chat](Result<Settled>) { delivered(turn, chat); }});
  }
  void delivered(const OpenedTurn& turn, std::int64_t chat) {
    store_.answer_delivered(turn.turn_id, "", {{}, [this, chat](Result<Nothing>) {
                                                 if (--to_end_ == 0) loop_.stop();
                                                 ask(chat);
                                               }});
  }

  loop::Loop& loop_;
  Store& store_;
  const Clock& clock_;
  int left_;
  int to_end_;
  std::string answer_;
  std::int64_t update_ = 0;
};

void measure_idle(loop::Loop& loop, Store& store, const Clock& clock) {
  Times applied;
  loop::Timer timer;
  Mono asked{};
  timer = loop.every(Millis{2}, [&] {
    asked = clock.mono();
    store.ping({[&](const Result<Nothing>&) {
                  applied.add(asked, clock.mono());
                  if (applied.all.size() == 500) loop.stop();
                },
                {}});
  });
  loop.run();
  std::printf("idle: submit to applied p50 %.0f us, p99 %.0f us\n", applied.at(0.5), applied.at(0.99));
}

int run(const std::string& directory, int chats, int messages, std::size_t answer_bytes) {
  const std::string path = directory + "/store-bench-" + fresh_id() + ".db";
  SystemClock clock;
  loop::Loop loop;
  auto store = open_store(loop, clock, "sqlite:" + path, 1);
  if (!store) {
    std::fprintf(stderr, "%s\n", store.error().detail.c_str());
    return 1;
  }
  measure_idle(loop, **store, clock);
  Load load(loop, **store, clock, messages, answer_bytes);
  const std::uint64_t written = bytes_written();
  const double cpu = cpu_seconds();
  const Mono start = clock.mono();
  for (int chat = 1; chat <= chats; ++chat)
    load.ask(chat);
  loop.run();
  const double seconds = std::chrono::duration<double>(clock.mono() - start).count();
  const auto each = static_cast<double>(messages);
  std::printf(
      "%d chats, %d messages, answers of %zu bytes: %.0f messages/s (5 operations each), %.0f us CPU a "
      "message\n",
      chats, messages, answer_bytes, each / seconds, (cpu_seconds() - cpu) / each * 1e6);
  std::printf("written %.1f KiB a message (WAL and checkpoints); WAL file %.1f MiB, database %.1f MiB\n",
              static_cast<double>(bytes_written() - written) / each / 1024,
              static_cast<double>(file_size(path + "-wal")) / (1 << 20),
              static_cast<double>(file_size(path)) / (1 << 20));
  std::printf("accept: applied p50 %.0f p99 %.0f us; durable p50 %.0f p99 %.0f us\n", load.applied.at(0.5),
              load.applied.at(0.99), load.durable.at(0.5), load.durable.at(0.99));
  store->reset();
  for (const char* suffix : {"", "-wal"})
    unlink((path + suffix).c_str());
  return 0;
}

}  // namespace
}  // namespace katana::gateway

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: store_bench DIRECTORY [CHATS [MESSAGES [ANSWER_BYTES]]]\n");
    return 2;
  }
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  return katana::gateway::run(argv[1], number(2, 200), number(3, 20000),
                              static_cast<std::size_t>(number(4, 300)));
}
