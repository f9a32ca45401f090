// What the store called durable is there after the machine lost its power, whatever of the rest reached the
// disk. KATANA_LOSSES sets how often it does (100).

#include <array>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <set>
#include <span>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "gateway/store/sql_store.hpp"
#include "tests/fault/lossy_vfs.hpp"
#include "tests/unit/db/place.hpp"

namespace katana::fault {
namespace {

using gateway::Done;
using gateway::Nothing;

constexpr std::int64_t kBot = 4242;
constexpr int kLossesALife = 50;
constexpr int kRounds = 3;
/// Questions of a round: together they fill the WAL enough for a checkpoint.
constexpr int kQuestions = 120;
constexpr int kAtOnce = 12;
constexpr Seconds kRetention{std::chrono::hours{72}};
/// An image for about so many writes, of which a life has some 6,000.
constexpr int kWritesAnImage = 100;

/// What the store has called durable, in that order. The loop's thread adds, the disk's threads count.
class Promises {
 public:
  enum What { Updates, Turns, Settled, Shown, Delivered, kWhats };
  using Counts = std::array<std::size_t, kWhats>;
  struct Reach {
    Counts promised{};
    Counts pruned{};  ///< of these, the first so many may be gone: their time is over
  };
  void add(What what, std::int64_t id) {
    const std::lock_guard guard(lock_);
    ids_[what].push_back(id);
  }
  /// From now on all that is promised so far may go.
  void may_go() {
    const std::lock_guard guard(lock_);
    pruned_ = count();
  }
  Reach reach() {
    const std::lock_guard guard(lock_);
    return {count(), pruned_};
  }
  /// Those of `what` that must be there, for an image that was taken when the promises reached so far.
  [[nodiscard]] std::span<const std::int64_t> due(What what, const Reach& reach) const {
    return std::span(ids_[what]).subspan(reach.pruned[what], reach.promised[what] - reach.pruned[what]);
  }

 private:
  [[nodiscard]] Counts count() const {
    Counts counts{};
    for (std::size_t i = 0; i < kWhats; ++i)
      counts[i] = ids_[i].size();
    return counts;
  }
  std::mutex lock_;
  std::array<std::vector<std::int64_t>, kWhats> ids_;
  Counts pruned_{};
};

struct Image {
  LossyDisk::Files files;
  Promises::Reach reach;
};

/// The message at Telegram that shows a turn's answer.
std::int64_t message_of(std::int64_t turn_id) {
  return 5'000 + turn_id;
}

void write_files(const LossyDisk::Files& files, const std::string& directory) {
  std::filesystem::create_directory(directory);
  for (const auto& [name, content] : files)
    db::write_bytes(directory + "/" + name, content);
}

/// The life of a store until its workload is done, with images of its disk at random moments.
class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed) {
    disk_.emplace([this] { written(); });
    auto opened = gateway::open_store(loop_, clock_, "sqlite:" + folder_.file("home/k.db"), kBot);
    if (!opened) throw std::runtime_error(opened.error().detail);
    store_ = std::move(*opened);
  }

  void live() {
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t synced = disk_->syncs("k.db");
      for (int asked = 0; asked < kQuestions;) {
        for (int i = 0; i < kAtOnce; ++i, ++asked)
          ask();
        db::run_until(loop_, [&] { return open_ == 0; });
      }
      db::run_until(loop_, [&] { return disk_->syncs("k.db") > synced; });  // a checkpoint: it is quiet
      if (round + 1 < kRounds) prune();
    }
    store_.reset();
    disk_.reset();  // the images are looked at on an honest one
  }
  [[nodiscard]] const std::vector<Image>& images() const { return images_; }
  [[nodiscard]] const Promises& promises() const { return promises_; }

 private:
  void written() {
    if (images_.size() == kLossesALife || random_() % kWritesAnImage != 0) return;
    Image image{{}, promises_.reach()};  // before: what is promised meanwhile need not be in it
    image.files = disk_->image(random_);
    images_.push_back(std::move(image));
  }

  /// All that was asked so far has had its time.
  void prune() {
    clock_.advance(kRetention + std::chrono::hours{1});
    promises_.may_go();
    bool done = false;
    store_->prune(clock_.wall(), kRetention, {.durable = [&](auto pruned) {
                    ASSERT_TRUE(pruned) << pruned.error().detail;
                    EXPECT_GE(*pruned, static_cast<std::uint64_t>(kQuestions));
                    done = true;
                  }});
    db::run_until(loop_, [&] { return done; });
  }

  void ask() {
    ++open_;
    gateway::Intake intake;
    intake.update_id = ++last_update_;
    intake.seen_at = clock_.wall();
    intake.chat = {100 + last_update_ % 7, 0};
    intake.prompt = gateway::Prompt{7, last_update_, std::string(2'000, 'q'), false, clock_.wall()};
    store_->accept({intake}, {.applied =
                                  [this](auto& accepted) {
                                    ASSERT_TRUE(accepted) << accepted.error().detail;
                                    lease(*accepted->front().turn);
                                  },
                              .durable =
                                  [this, update = intake.update_id](auto accepted) {
                                    ASSERT_TRUE(accepted) << accepted.error().detail;
                                    promises_.add(Promises::Updates, update);
                                    promises_.add(Promises::Turns, accepted->front().turn->turn_id);
                                  }});
  }
  void lease(const gateway::OpenedTurn& turn) {
    store_->lease({turn.job_id, 1}, "w", "claude", "m", 0, {.durable = [this, turn](auto leased) {
                    ASSERT_TRUE(leased) << leased.error().detail;
                    settle(turn);
                  }});
  }
  void settle(const gateway::OpenedTurn& turn) {
    gateway::Settlement answer{{turn.job_id, 1}, "claude", "m", std::string(3'000, 'a')};
    store_->settle(std::move(answer), {.durable = [this, turn](auto settled) {
                     ASSERT_TRUE(settled) << settled.error().detail;
                     promises_.add(Promises::Settled, turn.turn_id);
                     deliver(turn);
                   }});
  }
  void deliver(const gateway::OpenedTurn& turn) {
    store_->part_sent(turn.placeholder_id, message_of(turn.turn_id), {.durable = [this, turn](auto sent) {
                        ASSERT_TRUE(sent) << sent.error().detail;
                        promises_.add(Promises::Shown, message_of(turn.turn_id));
                      }});
    store_->answer_delivered(turn.turn_id, "", {.durable = [this, turn](auto delivered) {
                               ASSERT_TRUE(delivered) << delivered.error().detail;
                               promises_.add(Promises::Delivered, turn.turn_id);
                               --open_;
                             }});
  }

  db::Folder folder_;
  loop::Loop loop_;
  ManualClock clock_;
  Promises promises_;
  std::vector<Image> images_;
  std::mt19937_64 random_;  // the disk's: before the store's thread starts the loop's, then that thread's
  std::optional<LossyDisk> disk_;
  std::unique_ptr<gateway::Store> store_;
  std::int64_t last_update_ = 0;
  int open_ = 0;
};

std::set<std::int64_t> ids(sqlite3* db, const char* sql) {
  std::set<std::int64_t> out;
  const auto add = [](void* into, int, char** values, char**) {
    static_cast<std::set<std::int64_t>*>(into)->insert(std::strtoll(values[0], nullptr, 10));
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, sql, add, &out, nullptr), SQLITE_OK) << sql << ": " << sqlite3_errmsg(db);
  return out;
}

void expect_all(std::span<const std::int64_t> promised, const std::set<std::int64_t>& found,
                const char* what) {
  for (const std::int64_t id : promised)
    ASSERT_TRUE(found.contains(id)) << what << " " << id << " of " << promised.size() << " is lost";
}

/// A start on what is left, and its end.
void start(const std::string& path) {
  loop::Loop loop;
  ManualClock clock;
  const auto opened = gateway::open_store(loop, clock, "sqlite:" + path, kBot);
  ASSERT_TRUE(opened) << opened.error().detail;
}

/// Starts that found nothing to write, and those that did.
int quiet_starts = 0;
int busy_starts = 0;

/// The power is lost again, at any moment of the start on what the first loss has left.
Image lose_again(const Image& image, std::mt19937_64& random) {
  db::Folder folder;
  write_files(image.files, folder.file("home"));
  Image second{image.files, image.reach};
  std::uint64_t writes = 0;
  std::optional<LossyDisk> disk;
  disk.emplace([&] {
    if (random() % ++writes == 0) second.files = disk->image(random);
  });
  start(folder.file("home/k.db"));
  ++(writes == 0 ? quiet_starts : busy_starts);
  return second;
}

/// The program starts on what is left, and then all that was promised is there.
void examine(const Image& image, const Promises& promises) {
  db::Folder folder;
  write_files(image.files, folder.file("home"));
  const std::string path = folder.file("home/k.db");
  start(path);
  if (testing::Test::HasFatalFailure()) return;
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const auto closes = std::unique_ptr<sqlite3, int (*)(sqlite3*)>(db, sqlite3_close);
  std::string verdict;
  const auto read = [](void* into, int, char** values, char**) {
    *static_cast<std::string*>(into) += values[0];
    return 0;
  };
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA integrity_check", read, &verdict, nullptr), SQLITE_OK);
  EXPECT_EQ(verdict, "ok");
  const auto due = [&](Promises::What what) { return promises.due(what, image.reach); };
  expect_all(due(Promises::Updates), ids(db, "SELECT update_id FROM updates"), "update");
  expect_all(due(Promises::Turns), ids(db, "SELECT turn_id FROM open_turns UNION SELECT turn_id FROM turns"),
             "turn");
  expect_all(due(Promises::Settled), ids(db, "SELECT turn_id FROM turns"), "answer");
  expect_all(due(Promises::Shown),
             ids(db, "SELECT message_ids FROM open_turns UNION SELECT message_ids FROM turns"), "message");
  const auto open = ids(db, "SELECT turn_id FROM open_turns");
  for (const std::int64_t turn : due(Promises::Delivered))
    ASSERT_FALSE(open.contains(turn)) << "turn " << turn << " is open again";
}

int losses_wanted() {
  const char* given = std::getenv("KATANA_LOSSES");
  return given == nullptr ? 100 : std::atoi(given);
}

TEST(PowerLoss, WhatWasPromisedIsThere) {
  int losses = 0;
  std::size_t promised = 0;
  std::mt19937_64 random(1);
  for (std::uint64_t seed = 1; losses < losses_wanted(); ++seed) {
    std::optional<Life> life;
    ASSERT_NO_THROW(life.emplace(seed));
    life->live();
    ASSERT_FALSE(life->images().empty()) << "no loss in a whole life: kWritesAnImage is too rare";
    for (const Image& image : life->images()) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      examine(image, life->promises());
      if (HasFailure()) return;
      const Image second = lose_again(image, random);
      examine(second, life->promises());
      if (HasFailure()) return;
      promised += image.reach.promised[Promises::Updates];
      losses += 2;
    }
  }
  EXPECT_GT(promised, 0U);
  EXPECT_GT(busy_starts, 10 * quiet_starts) << "or the second losses showed little";
  RecordProperty("losses", losses);
  std::printf(
      "%d losses of power, every second one in the start after another; %zu updates promised, none lost\n",
      losses, promised);
}

/// The disk itself: what was not forced can be lost, or the test above would show nothing.
TEST(PowerLoss, WhatWasNotForcedCanBeLost) {
  db::Folder folder;
  std::mt19937_64 random(1);
  LossyDisk disk([] {});
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(folder.file("a.db").c_str(), &db), SQLITE_OK);
  const auto run = [&](const char* sql) {
    ASSERT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sql;
  };
  run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id)");
  run("INSERT INTO t VALUES (1)");
  run("PRAGMA synchronous=OFF; INSERT INTO t VALUES (2)");
  int lost = 0;
  for (int i = 0; i < 20; ++i) {
    const std::string directory = folder.file(std::to_string(i));
    write_files(disk.image(random), directory);
    sqlite3* after = nullptr;
    ASSERT_EQ(sqlite3_open((directory + "/a.db").c_str(), &after), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(after, "PRAGMA locking_mode=EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
    const auto found = ids(after, "SELECT id FROM t");
    EXPECT_TRUE(found.contains(1));
    if (!found.contains(2)) ++lost;
    sqlite3_close(after);
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 20);
  sqlite3_close(db);
}

}  // namespace
}  // namespace katana::fault
