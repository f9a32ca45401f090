// What the store called durable is there after the machine lost its power, whatever of the rest reached the
// disk. KATANA_LOSSES sets how often it does (100).

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <set>

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
/// An image for about so many writes, of which a life has some 6,000.
constexpr int kWritesAnImage = 100;

/// What the store has called durable: ids, in that order. The loop's thread adds, the disk's threads count.
class Promises {
 public:
  struct Counts {
    std::size_t updates = 0;
    std::size_t settled = 0;
    std::size_t delivered = 0;
  };
  void add(std::vector<std::int64_t> Promises::*list, std::int64_t id) {
    const std::lock_guard guard(lock_);
    (this->*list).push_back(id);
  }
  Counts count() {
    const std::lock_guard guard(lock_);
    return {updates.size(), settled.size(), delivered.size()};
  }

  std::vector<std::int64_t> updates;    ///< accepted
  std::vector<std::int64_t> settled;    ///< turns whose answer is stored
  std::vector<std::int64_t> delivered;  ///< turns that are done

 private:
  std::mutex lock_;
};

struct Image {
  LossyDisk::Files files;
  Promises::Counts promised;
};

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
    }
    store_.reset();
    disk_.reset();  // the images are looked at on an honest one
  }
  [[nodiscard]] const std::vector<Image>& images() const { return images_; }
  [[nodiscard]] const Promises& promises() const { return promises_; }

 private:
  void written() {
    if (images_.size() == kLossesALife || random_() % kWritesAnImage != 0) return;
    Image image{{}, promises_.count()};  // before: what is promised meanwhile need not be in it
    image.files = disk_->image(random_);
    images_.push_back(std::move(image));
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
                                    promises_.add(&Promises::updates, update);
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
                     promises_.add(&Promises::settled, turn.turn_id);
                     deliver(turn);
                   }});
  }
  void deliver(const gateway::OpenedTurn& turn) {
    store_->part_sent(turn.placeholder_id, 5'000 + turn.turn_id, Done<Nothing>{});
    store_->answer_delivered(turn.turn_id, "", {.durable = [this, turn](auto delivered) {
                               ASSERT_TRUE(delivered) << delivered.error().detail;
                               promises_.add(&Promises::delivered, turn.turn_id);
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

void expect_all(const std::vector<std::int64_t>& promised, std::size_t count,
                const std::set<std::int64_t>& found, const char* what) {
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_TRUE(found.contains(promised[i])) << what << " " << promised[i] << " of " << count << " is lost";
}

/// The program starts on what is left, and then all that was promised is there.
void examine(const Image& image, const Promises& promises) {
  db::Folder folder;
  write_files(image.files, folder.file("home"));
  const std::string path = folder.file("home/k.db");
  {
    loop::Loop loop;
    ManualClock clock;
    const auto opened = gateway::open_store(loop, clock, "sqlite:" + path, kBot);
    ASSERT_TRUE(opened) << opened.error().detail;
  }
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
  expect_all(promises.updates, image.promised.updates, ids(db, "SELECT update_id FROM updates"), "update");
  const auto settled = ids(db, "SELECT turn_id FROM turns");
  expect_all(promises.settled, image.promised.settled, settled, "answer");
  const auto open = ids(db, "SELECT turn_id FROM open_turns");
  for (std::size_t i = 0; i < image.promised.delivered; ++i)
    ASSERT_FALSE(open.contains(promises.delivered[i]))
        << "turn " << promises.delivered[i] << " is open again";
}

int losses_wanted() {
  const char* given = std::getenv("KATANA_LOSSES");
  return given == nullptr ? 100 : std::atoi(given);
}

TEST(PowerLoss, WhatWasPromisedIsThere) {
  int losses = 0;
  std::size_t promised = 0;
  for (std::uint64_t seed = 1; losses < losses_wanted(); ++seed) {
    std::optional<Life> life;
    ASSERT_NO_THROW(life.emplace(seed));
    life->live();
    ASSERT_FALSE(life->images().empty()) << "no loss in a whole life: kWritesAnImage is too rare";
    for (const Image& image : life->images()) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      examine(image, life->promises());
      if (HasFailure()) return;
      promised += image.promised.updates;
      ++losses;
    }
  }
  EXPECT_GT(promised, 0U);
  RecordProperty("losses", losses);
  std::printf("%d losses of power, %zu updates promised before them, none lost\n", losses, promised);
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
