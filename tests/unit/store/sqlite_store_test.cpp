// What is peculiar to the store in SQLite: its file, its start, and what a failing disk or process leaves.
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/db/migration.hpp"
#include "common/db/sqlite.hpp"
#include "gateway/store/rescue.hpp"
#include "gateway/store/schema.hpp"
#include "gateway/store/sql_store.hpp"
#include "tests/unit/db/faulty_connection.hpp"
#include "tests/unit/store/world.hpp"

namespace katana::gateway {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class SqliteStore : public ::testing::Test {
 protected:
  Result<std::unique_ptr<Store>> open() { return open_store(loop, clock, url, World::kBot); }
  std::string refusal() {
    auto opened = open();
    return opened ? "opened" : opened.error().detail;
  }

  Folder folder;
  loop::Loop loop;
  ManualClock clock;
  std::string path = folder.file("state/katana.db");
  std::string url = "sqlite:" + path;
};

TEST_F(SqliteStore, UrlsThatItCantServeAreRefusedWithoutShowingThem) {
  url = "postgresql://user:secretword@db/katana";
  EXPECT_THAT(refusal(), AllOf(HasSubstr("only SQLite"), Not(HasSubstr("secretword"))));
  for (const char* bad : {"", "sqlite:", "mysql://root:secretword@db", "/var/lib/katana.db"}) {
    url = bad;
    EXPECT_THAT(refusal(), AllOf(HasSubstr("sqlite:PATH"), Not(HasSubstr("secretword"))));
  }
}

TEST_F(SqliteStore, ItsFileIsPrivate) {
  ASSERT_TRUE(open());
  struct stat found {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
}

TEST_F(SqliteStore, OnlyItsOwnCopiesGoAndOnlyWhenTheyAreOld) {
  ASSERT_TRUE(open());
  const auto leave = [&](const std::string& name, Wall written) {
    const std::string file = folder.file("state/" + name);
    std::ofstream(file) << "words";
    const timespec at{to_unix(written), 0};
    const timespec times[] = {at, at};
    ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  };
  const Wall cutoff = clock.wall();
  const std::vector<std::string> ours{"katana.db.before-2", "katana.db.replaced-13",
                                      "katana.db.replaced-1-wal"};
  const std::vector<std::string> others{
      "katana.db",          "katana.db.before-",           "katana.db.before-2x", "other.db.before-2",
      "katana.db.backup-1", "katana.db.replaced-1-wal.gz", "katana.dbx.before-2", "katana.db.before-2-"};
  for (const auto* names : {&ours, &others})
    for (const auto& name : *names)
      leave(name, cutoff - Seconds{1});
  leave("katana.db.before-3", cutoff + Seconds{1});
  leave("katana.db.replaced-7", cutoff - Seconds{1});  // as a process left it that was killed
  leave("katana.db.replaced-7-wal", cutoff + Seconds{1});
  EXPECT_EQ(remove_old_copies(path, cutoff), ours.size());
  for (const auto& name : ours)
    EXPECT_FALSE(std::filesystem::exists(folder.file("state/" + name))) << name;
  for (const auto& name : others)
    EXPECT_TRUE(std::filesystem::exists(folder.file("state/" + name))) << name;
  EXPECT_TRUE(std::filesystem::exists(folder.file("state/katana.db.before-3")));
  EXPECT_TRUE(std::filesystem::exists(folder.file("state/katana.db.replaced-7")));
  EXPECT_EQ(remove_old_copies(folder.file("nowhere/katana.db"), cutoff), 0U);
}

TEST_F(SqliteStore, ANewerSchemaIsRefused) {
  ASSERT_TRUE(open());
  {
    auto db = db::open_sqlite(path);
    ASSERT_TRUE(db);
    (*db)->run("INSERT INTO schema_version (version) VALUES (999)");
  }
  EXPECT_THAT(refusal(), HasSubstr("run the newer program"));
}

TEST_F(SqliteStore, ADamagedFileIsRefusedAndKept) {
  ASSERT_TRUE(open());
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0);
    file << std::string(64, '#');
  }
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path), HasSubstr("restore a backup")));
  std::ifstream file(path, std::ios::binary);
  std::string start(64, ' ');
  file.read(start.data(), 64);
  EXPECT_EQ(start, std::string(64, '#'));
}

/// A gateway that dies: it asks, leases, answers one, and is gone without a word. Only what it was told to be
/// durable counts.
[[noreturn]] void die_in_the_middle(const std::string& url, int report) {
  World world([&](loop::Loop& loop, const Clock& clock, std::int64_t bot) {
    return open_store(loop, clock, url, bot);
  });
  const OpenedTurn leased = world.ask({1, 0}, "leased");
  const OpenedTurn settled = world.ask({2, 0}, "settled");
  world.exchange({3, 0}, "done", "Done.");
  (void)world.part_sent(leased.placeholder_id, 77);
  (void)world.lease({leased.job_id, 1}, "w1");
  (void)world.settle(World::answer({settled.job_id, 1}, "Settled."));
  const bool told = write(report, "x", 1) == 1;
  for (int i = 0; i < 100; ++i)
    world.store().accept({world.question({4, 0}, "on the way")}, {});
  _exit(told ? 0 : 1);
}

TEST_F(SqliteStore, WhatWasDurableIsThereAfterAKill) {
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t child = fork();
  if (child == 0) die_in_the_middle(url, report[1]);
  int status = 0;
  waitpid(child, &status, 0);
  close(report[0]);
  close(report[1]);
  ASSERT_EQ(status, 0);

  auto store = open();
  ASSERT_TRUE(store) << store.error().detail;
  const auto open_now = await<Unfinished>(loop, [&](auto done) { (*store)->unfinished(done); });
  ASSERT_TRUE(open_now);
  ASSERT_GE(open_now->turns.size(), 2U);
  EXPECT_TRUE(open_now->turns[0].leased);
  EXPECT_EQ(open_now->turns[0].parts.at(0).message_id, 77);
  EXPECT_EQ(open_now->turns[1].answer, "Settled.");
  for (std::size_t i = 2; i < open_now->turns.size(); ++i)
    EXPECT_EQ(open_now->turns[i].chat.chat_id, 4);
}

TEST_F(SqliteStore, AFullDiskFailsWhatDoesntFitAndNothingElse) {
  auto connection = db::open_sqlite(path);
  ASSERT_TRUE(connection);
  db::Connection* db = connection->get();
  auto store = open_store_on(loop, clock, std::move(*connection), World::kBot, "");
  ASSERT_TRUE(store);
  ASSERT_TRUE(await<Nothing>(loop, [&](auto done) { (*store)->ping(done); }));
  (void)db->script("PRAGMA max_page_count=60");  // the thread is at rest: nothing was asked of it

  std::vector<bool> durable;
  std::optional<Error> last;
  for (int i = 0; i < 40; ++i) {
    Intake intake;
    intake.update_id = i + 1;
    intake.seen_at = clock.wall();
    intake.chat = {1, 0};
    intake.prompt = Prompt{1, 1, std::string(i % 2 == 0 ? 12'000 : 10, 'x'), false, clock.wall()};
    (*store)->accept({intake}, {{}, [&](Result<std::vector<Accepted>> accepted) {
                                  durable.push_back(accepted.has_value());
                                  if (!accepted) last = accepted.error();
                                }});
  }
  run_until(loop, [&] { return durable.size() == 40; });
  ASSERT_TRUE(last);
  EXPECT_THAT(last->detail, HasSubstr("free some space"));
  const auto kept = std::count(durable.begin(), durable.end(), true);
  EXPECT_GT(kept, 2);
  EXPECT_LT(kept, 40);
  const auto open_now = await<Unfinished>(loop, [&](auto done) { (*store)->unfinished(done); });
  ASSERT_TRUE(open_now);
  EXPECT_THAT(open_now->turns, SizeIs(kept)) << "what was reported durable, no more and no less";
  for (const OpenTurn& turn : open_now->turns)
    EXPECT_TRUE(durable.at(static_cast<std::size_t>(turn.turn_id) - 1));
}

/// A full disk is found by an idle gateway, and its end at once.
TEST_F(SqliteStore, AQuietStoreIsTriedNowAndThenAndInTroubleEachTime) {
  auto opened = db::open_sqlite(path);
  ASSERT_TRUE(opened);
  auto wrapped = std::make_unique<db::FaultyConnection>(std::move(*opened));
  db::FaultyConnection* faulty = wrapped.get();
  auto store = open_store_on(loop, clock, std::move(wrapped), World::kBot, "");
  ASSERT_TRUE(store);
  const auto ping = [&] {
    return await<Nothing>(loop, [&](auto done) { (*store)->ping(done); }).has_value();
  };
  const auto stamp = [&] {
    auto rows = faulty->query("PRAGMA user_version");  // the thread is at rest: nothing is asked of it
    return rows.next() ? rows.integer(0) : -1;
  };
  const std::int64_t at_first = stamp();
  EXPECT_TRUE(ping());
  EXPECT_EQ(stamp(), at_first) << "not at each";
  clock.advance(Millis{60'000});
  EXPECT_TRUE(ping());
  EXPECT_EQ(stamp(), at_first + 1);
  EXPECT_FALSE((*store)->trouble());

  faulty->failures = 4;
  clock.advance(Millis{60'000});
  EXPECT_FALSE(ping());
  EXPECT_TRUE((*store)->trouble());
  EXPECT_FALSE(ping());
  EXPECT_TRUE(ping());
  EXPECT_FALSE((*store)->trouble());
}

/// Rolling back is the program of before and this copy.
TEST_F(SqliteStore, AMigrationKeepsACopyThatTheProgramOfBeforeOpens) {
  const auto before = schema().first(1);
  {
    auto db = db::open_sqlite(path);
    ASSERT_TRUE(db);
    ASSERT_EQ(db::migrate(**db, before, path, {}), 0);
    (*db)->run(
        "INSERT INTO turns (turn_id, bot_id, chat_id, user_id, previous, answered, attempt, asked_at, "
        "settled_at, provider, model, error_code, request_id, input_tokens, output_tokens, "
        "cache_read_tokens, cache_write_tokens, question, answer) "
        "VALUES (7, $1, 1, 1, 0, 1, 1, 1, 2, 'claude', 'm', '', '', 1, 1, 0, 0, 'asked before', 'answered')",
        World::kBot);
    ASSERT_FALSE((*db)->error());
  }
  {
    auto store = open();
    ASSERT_TRUE(store) << store.error().detail;
  }
  const std::string copy = path + ".before-2";
  struct stat found {};
  ASSERT_EQ(stat(copy.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_FALSE(std::filesystem::exists(copy + ".part"));
  auto db = db::open_sqlite(copy);
  ASSERT_TRUE(db) << db.error().detail;
  EXPECT_EQ(db::migrate(**db, before, copy, {}), 1) << "the program of before opens it";
  {
    auto rows = (*db)->query("PRAGMA integrity_check");
    ASSERT_TRUE(rows.next());
    EXPECT_EQ(rows.text(0), "ok");
  }
  auto rows = (*db)->query("SELECT question FROM turns WHERE turn_id = 7");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.text(0), "asked before");
}

TEST_F(SqliteStore, AnAnswerWhoseCommitFailedIsNotRemembered) {
  db::FaultyConnection* faulty = nullptr;
  World world(
      [&](loop::Loop& its_loop, const Clock& its_clock, std::int64_t bot) -> Result<std::unique_ptr<Store>> {
        auto opened = db::open_sqlite(path);
        if (!opened) return fail(opened.error());
        auto wrapped = std::make_unique<db::FaultyConnection>(std::move(*opened));
        faulty = wrapped.get();
        return open_store_on(its_loop, its_clock, std::move(wrapped), bot, "");
      });
  const ChatKey chat{1, 0};
  world.exchange(chat, "first?", "First.");
  const OpenedTurn turn = world.ask(chat, "second?");
  ASSERT_TRUE(world.lease({turn.job_id, 1}));
  faulty->failures = 2;  // the group's commit, and the one of the operation alone
  const auto lost = world.settle(World::answer({turn.job_id, 1}, "Lost with its commit."));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().detail, "the disk went away");
  EXPECT_FALSE(world.unfinished().turns.at(0).settled);

  EXPECT_EQ(world.settle(World::answer({turn.job_id, 1}, "Second.")), Settled::Applied);
  EXPECT_THAT(world.told(chat, "third?"), ElementsAre("user: first?", "model: First.", "user: second?",
                                                      "model: Second.", "user: third?"));
}

}  // namespace
}  // namespace katana::gateway
