#include "common/db/database_thread.hpp"

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/db/sqlite.hpp"
#include "tests/unit/db/faulty_connection.hpp"
#include "tests/unit/db/place.hpp"

namespace katana::db {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Threaded : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = open_sqlite(folder.file("t.db"));
    ASSERT_TRUE(opened) << opened.error().detail;
    ASSERT_TRUE((*opened)->script("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"));
    auto faulty = std::make_unique<FaultyConnection>(std::move(*opened));
    connection = faulty.get();
    thread = std::make_unique<DatabaseThread>(loop, std::move(faulty));
  }

  /// Holds the database thread until `let_go`, so that what comes between is one group.
  std::promise<void> hold() {
    std::promise<void> release;
    thread->submit_outside<int>(
        [gate = release.get_future().share()](Connection&) -> Result<int> {
          gate.wait();
          return 0;
        },
        nullptr);
    return release;
  }
  void let_go(std::promise<void>& gate) {
    loop.run_once(Millis{0});  // the loop hands over what it has gathered
    gate.set_value();
  }
  void insert(int id, const std::string& name) {
    thread->submit<int>(
        [id](Connection& db) -> Result<int> {
          db.run("INSERT INTO notes (id, text) VALUES ($1, 'x')", id);
          return id;
        },
        [this, name](const Result<int>& r) { seen.push_back(name + (r ? " applied" : " not applied")); },
        [this, name](Result<int> r) {
          seen.push_back(name + (r ? " durable" : " failed"));
          if (!r) errors.push_back(r.error().detail);
        });
  }
  std::int64_t count() {
    std::optional<std::int64_t> found;
    thread->submit<std::int64_t>(
        [](Connection& db) -> Result<std::int64_t> {
          auto rows = db.query("SELECT count(*) FROM notes");
          return rows.next() ? rows.integer(0) : -1;
        },
        nullptr, [&](Result<std::int64_t> r) { found = r.value_or(-2); });
    run_until(loop, [&] { return found.has_value(); });
    return *found;
  }

  Folder folder;
  loop::Loop loop;
  FaultyConnection* connection = nullptr;
  std::unique_ptr<DatabaseThread> thread;
  std::vector<std::string> seen;
  std::vector<std::string> errors;
};

TEST_F(Threaded, WaitingOperationsShareACommit) {
  auto gate = hold();
  for (int i = 1; i <= 100; ++i)
    insert(i, "op");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 200; });
  EXPECT_EQ(connection->commits, 1);
  EXPECT_EQ(count(), 100);
}

TEST_F(Threaded, AGroupIsBounded) {
  auto gate = hold();
  const int many = static_cast<int>(DatabaseThread::kGroup) * 2 + 1;
  for (int i = 1; i <= many; ++i)
    insert(i, "op");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 2U * static_cast<unsigned>(many); });
  EXPECT_EQ(connection->commits, 3);
  EXPECT_EQ(count(), many);
}

TEST_F(Threaded, AppliedPrecedesDurableInTheOrderAsked) {
  auto gate = hold();
  insert(1, "a");
  insert(2, "b");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 4; });
  EXPECT_THAT(seen, ElementsAre("a applied", "b applied", "a durable", "b durable"));
}

TEST_F(Threaded, ABadStatementHarmsNoOther) {
  auto gate = hold();
  insert(1, "a");
  insert(1, "clash");
  insert(2, "b");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 6; });
  EXPECT_THAT(seen, ElementsAre("a applied", "a durable", "clash not applied", "clash failed", "b applied",
                                "b durable"));
  EXPECT_THAT(errors, ElementsAre(HasSubstr("UNIQUE")));
  EXPECT_EQ(count(), 2);
}

TEST_F(Threaded, AFailedCommitIsTriedAgainOneByOne) {
  auto gate = hold();
  connection->failures = 1;
  insert(1, "a");
  insert(2, "b");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 4; });
  EXPECT_THAT(seen, ElementsAre("a applied", "b applied", "a durable", "b durable"));
  EXPECT_EQ(connection->commits, 3);
  EXPECT_EQ(count(), 2);
}

TEST_F(Threaded, DurableCarriesTheErrorOfAnOperationThatWasApplied) {
  auto gate = hold();
  connection->failures = 2;  // the group's, and that of the first one alone
  insert(1, "a");
  insert(2, "b");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 4; });
  EXPECT_THAT(seen, ElementsAre("a applied", "b applied", "a failed", "b durable"));
  EXPECT_THAT(errors, ElementsAre("the disk went away"));
  EXPECT_EQ(count(), 1);
}

TEST_F(Threaded, TroubleLastsUntilSomethingIsWritten) {
  EXPECT_FALSE(thread->trouble());
  connection->failures = 2;
  insert(1, "a");
  run_until(loop, [&] { return seen.size() == 2; });
  ASSERT_TRUE(thread->trouble());
  EXPECT_EQ(thread->trouble()->detail, "the disk went away");
  EXPECT_EQ(count(), 0);
  EXPECT_TRUE(thread->trouble()) << "what can be read can't always be written";
  insert(2, "b");
  run_until(loop, [&] { return seen.size() == 4; });
  EXPECT_FALSE(thread->trouble());
}

TEST_F(Threaded, ATouchWritesAndMeansNothing) {
  connection->failures = 2;
  insert(1, "a");
  bool touched = false;
  thread->submit<int>(
      [](Connection& db) -> Result<int> {
        db.touch();
        return 0;
      },
      nullptr, [&](Result<int> r) { touched = r.has_value(); });
  run_until(loop, [&] { return touched; });
  EXPECT_FALSE(thread->trouble());
}

TEST_F(Threaded, ALongGroupIsAnnouncedInSlices) {
  auto gate = hold();
  bool late = false;
  const int early = static_cast<int>(DatabaseThread::kSlice);
  for (int i = 1; i <= early; ++i)
    insert(i, "op");
  std::promise<void> release;
  thread->submit<int>(
      [&late, gate_inside = release.get_future().share()](Connection&) -> Result<int> {
        gate_inside.wait();
        late = true;
        return 0;
      },
      nullptr, nullptr);
  let_go(gate);
  run_until(loop, [&] { return seen.size() == static_cast<unsigned>(early); });
  EXPECT_EQ(seen.back(), "op applied");
  release.set_value();
  run_until(loop, [&] { return seen.size() == 2U * static_cast<unsigned>(early); });
  EXPECT_TRUE(late);
}

TEST_F(Threaded, WorkOutsideOfTransactionsKeepsItsPlaceInTheOrder) {
  auto gate = hold();
  insert(1, "a");
  thread->submit_outside<int>(
      [](Connection& db) -> Result<int> {
        db.run("VACUUM");  // refused inside of a transaction
        return 0;
      },
      [&](Result<int> r) { seen.push_back(r ? "outside" : r.error().detail); });
  insert(2, "b");
  let_go(gate);
  run_until(loop, [&] { return seen.size() == 5; });
  EXPECT_THAT(seen, ElementsAre("a applied", "a durable", "outside", "b applied", "b durable"));
}

TEST_F(Threaded, AFailureOutsideOfTransactionsIsReportedAndForgotten) {
  thread->submit_outside<int>(
      [](Connection& db) -> Result<int> {
        db.run("DELETE FROM nowhere");
        return 0;
      },
      [&](Result<int> r) { seen.push_back(r ? "done" : "failed"); });
  insert(1, "a");
  run_until(loop, [&] { return seen.size() == 3; });
  EXPECT_THAT(seen, ElementsAre("failed", "a applied", "a durable"));
}

TEST_F(Threaded, UpkeepIsDoneWhenItIsQuiet) {
  auto upkept = connection->upkept.get_future();
  connection->upkeeps_wanted = 1;
  insert(1, "a");  // wakes the thread, should it sleep already
  run_until(loop, [&] { return upkept.wait_for(std::chrono::seconds{0}) == std::future_status::ready; });
  EXPECT_EQ(count(), 1);
}

TEST_F(Threaded, LeavingDoesWhatWaitsAndDropsTheCompletions) {
  auto gate = hold();
  for (int i = 1; i <= 1000; ++i)
    insert(i, "op");
  let_go(gate);
  thread.reset();
  loop.run_once(Millis{0});
  EXPECT_THAT(seen, IsEmpty());
  auto again = open_sqlite(folder.file("t.db"));
  ASSERT_TRUE(again);
  auto rows = (*again)->query("SELECT count(*) FROM notes");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), 1000);
}

TEST_F(Threaded, CompletionsAreDestroyedOnTheLoop) {
  struct Witness {
    std::thread::id& where;
    ~Witness() { where = std::this_thread::get_id(); }
  };
  std::thread::id where;
  bool done = false;
  thread->submit<int>([](Connection&) -> Result<int> { return 0; }, nullptr,
                      [&done, witness = std::make_shared<Witness>(where)](Result<int>) { done = true; });
  run_until(loop, [&] { return done && where != std::thread::id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

}  // namespace
}  // namespace katana::db
