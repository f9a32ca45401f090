#include "common/db/sqlite.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/db/migration.hpp"
#include "tests/unit/db/place.hpp"

namespace katana::db {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr const char* kTable = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";

class Sqlite : public ::testing::Test {
 protected:
  std::unique_ptr<Connection> open(SqliteOptions options = {}) {
    auto opened = open_sqlite(path, options);
    EXPECT_TRUE(opened) << opened.error().detail;
    return opened ? std::move(*opened) : nullptr;
  }
  static std::int64_t number(Connection& db, std::string_view sql) {
    auto rows = db.query(sql);
    return rows.next() ? rows.integer(0) : -1;
  }
  static std::string word(Connection& db, std::string_view sql) {
    auto rows = db.query(sql);
    return rows.next() ? rows.text(0) : "";
  }
  /// A file with a table of some pages.
  void fill() {
    auto db = open();
    ASSERT_TRUE(db->script(kTable));
    db->begin();
    for (int i = 0; i < 200; ++i)
      db->run("INSERT INTO notes (text) VALUES ($1)", std::string(500, 'x'));
    ASSERT_TRUE(db->commit());
  }

  Folder folder;
  std::string path = folder.file("state/notes.db");
};

TEST_F(Sqlite, ANewDatabaseIsPrivateAndDurable) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  EXPECT_EQ(mode_of(folder.file("state")), 0700U);
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(path + "-wal"), 0600U);
  EXPECT_EQ(word(*db, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(number(*db, "PRAGMA synchronous"), 2);
  EXPECT_EQ(number(*db, "PRAGMA auto_vacuum"), 2);
  EXPECT_EQ(number(*db, "PRAGMA application_id"), kApplicationId);
}

TEST_F(Sqlite, AFileThatOthersCanReadIsTakenFromThem) {
  fill();
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  open();
  EXPECT_EQ(mode_of(path), 0600U);
}

TEST_F(Sqlite, ValuesComeBackAsTheyWent) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  const std::string odd("a\0b\xc3\xa9 \xf0\x9f\x98\x80", 10);
  EXPECT_EQ(db->run("INSERT INTO notes (id, text) VALUES ($1, $2)", INT64_MIN, odd), 1U);
  EXPECT_EQ(db->run("INSERT INTO notes (id, text) VALUES ($1, $2)", INT64_MAX, std::string_view()), 1U);
  EXPECT_FALSE(db->error());
  auto rows = db->query("SELECT id, text, NULL FROM notes ORDER BY id");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), INT64_MIN);
  EXPECT_EQ(rows.text(1), odd);
  EXPECT_EQ(rows.integer(2), 0);
  EXPECT_EQ(rows.text(2), "");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), INT64_MAX);
  EXPECT_EQ(rows.text(1), "");
  EXPECT_FALSE(rows.next());
}

TEST_F(Sqlite, AnErrorSticksUntilTheRollback) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  db->begin();
  db->run("INSERT INTO notes (id, text) VALUES (1, 'a')");
  db->run("INSERT INTO notes (id, text) VALUES (1, 'b')");
  ASSERT_TRUE(db->error());
  EXPECT_EQ(db->error()->code, Code::Internal);
  EXPECT_EQ(db->run("INSERT INTO notes (id, text) VALUES (2, 'c')"), 0U);
  EXPECT_FALSE(db->query("SELECT 1").next());
  EXPECT_FALSE(db->commit());
  db->rollback();
  EXPECT_FALSE(db->error());
  EXPECT_EQ(number(*db, "SELECT count(*) FROM notes"), 0);
}

TEST_F(Sqlite, AFullDiskSaysSoAndTheConnectionGoesOn) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  ASSERT_TRUE(db->script("PRAGMA max_page_count=20"));
  db->begin();
  for (int i = 0; i < 100; ++i)
    db->run("INSERT INTO notes (text) VALUES ($1)", std::string(1500, 'x'));
  ASSERT_TRUE(db->error());
  EXPECT_THAT(db->error()->detail, HasSubstr("free some space"));
  db->rollback();
  db->begin();
  db->run("INSERT INTO notes (text) VALUES ('small')");
  EXPECT_TRUE(db->commit());
  EXPECT_EQ(number(*db, "SELECT count(*) FROM notes"), 1);
}

TEST_F(Sqlite, ParametersMustBeNumberedAsTheyAppear) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  db->run("INSERT INTO notes (id, text) VALUES ($2, $1)", "a", 1);
  ASSERT_TRUE(db->error());
  EXPECT_THAT(db->error()->detail, HasSubstr("out of order"));
}

TEST_F(Sqlite, ASecondProcessIsRefused) {
  int ready[2];
  int leave[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(leave), 0);
  const pid_t child = fork();
  char byte = 'x';
  if (child == 0) {
    close(leave[1]);
    const auto first = open_sqlite(path);
    const bool told = first && (*first)->script(kTable) && write(ready[1], &byte, 1) == 1;
    _exit(told && read(leave[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(ready[1]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto second = open_sqlite(path, {Millis{10}});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().detail, HasSubstr("another process holds it"));
  for (const int fd : {leave[1], leave[0], ready[0]})
    close(fd);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(open_sqlite(path, {Millis{10}})) << "its end is the end of its lock";
}

TEST_F(Sqlite, WhatWasCommittedSurvivesAProcessThatJustEnds) {
  const pid_t child = fork();
  if (child == 0) {
    auto db = open_sqlite(path);
    if (!db) _exit(1);
    (void)(*db)->script(kTable);
    for (int i = 0; i < 50; ++i) {
      (*db)->begin();
      (*db)->run("INSERT INTO notes (text) VALUES ('committed')");
      if (!(*db)->commit()) _exit(2);
    }
    (*db)->begin();
    (*db)->run("INSERT INTO notes (text) VALUES ('not committed')");
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_GT(std::filesystem::file_size(path + "-wal"), 0U) << "nothing was copied back";
  auto db = open();
  EXPECT_EQ(number(*db, "SELECT count(*) FROM notes"), 50);
  EXPECT_EQ(number(*db, "SELECT count(*) FROM notes WHERE text = 'not committed'"), 0);
}

TEST_F(Sqlite, ADamagedFileIsRefusedAndLeftAsItIs) {
  fill();
  const std::string sound = read_bytes(path);
  ASSERT_GT(sound.size(), 20'000U);
  std::string no_header = sound;
  no_header.replace(0, 100, std::string(100, '!'));
  std::string torn_page = sound;
  torn_page.replace(9 * 2048, 2048, std::string(2048, '\x55'));
  const std::vector<std::string> damaged{no_header, torn_page, sound.substr(0, sound.size() / 2),
                                         std::string(5000, 'z'), "short"};
  for (const std::string& bytes : damaged) {
    write_bytes(path, bytes);
    const auto opened = open_sqlite(path);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().detail, HasSubstr("restore a backup"));
    EXPECT_EQ(read_bytes(path), bytes);
  }
}

/// Of a large file not all is read at the start, and what was read before is kept in memory.
TEST_F(Sqlite, DamageThatShowsLaterEndsAllWriting) {
  fill();
  {
    auto db = open();
    ASSERT_TRUE(db->script("CREATE TABLE more (text TEXT)"));
    db->begin();
    for (int i = 0; i < 6000; ++i)
      db->run("INSERT INTO more (text) VALUES ($1)", std::string(1900, 'x'));
    ASSERT_TRUE(db->commit());
  }
  std::string bytes = read_bytes(path);
  ASSERT_GT(bytes.size(), 9U << 20);
  bytes.replace(4000 * 2048, 2048, std::string(2048, '\x55'));
  write_bytes(path, bytes);
  {
    auto db = open();
    ASSERT_NE(db, nullptr);
    db->begin();
    EXPECT_LE(number(*db, "SELECT sum(length(text)) FROM more"), 0);
    ASSERT_TRUE(db->error());
    EXPECT_THAT(db->error()->detail, HasSubstr("katana restore"));
    db->rollback();
    db->begin();
    db->run("INSERT INTO notes (text) VALUES ('sound pages are not written either')");
    EXPECT_FALSE(db->commit());
    db->rollback();
    EXPECT_FALSE(db->script("DELETE FROM notes"));
    db->rollback();
    EXPECT_FALSE(db->copy_to(folder.file("copy.db"))) << "no copy of what is damaged";
  }
  EXPECT_EQ(read_bytes(path), bytes);
}

TEST_F(Sqlite, AForeignDatabaseIsRefusedAndLeftAsItIs) {
  fill();
  {
    auto db = open();
    ASSERT_TRUE(db->script("PRAGMA application_id=0"));
  }
  const std::string before = read_bytes(path);
  const auto opened = open_sqlite(path);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().detail, HasSubstr("belongs to another program"));
  EXPECT_EQ(read_bytes(path), before);
}

TEST_F(Sqlite, ADirectoryInItsPlaceIsRefused) {
  std::filesystem::create_directories(path);
  EXPECT_THAT(open_sqlite(path).error().detail, HasSubstr("not a regular file"));
  EXPECT_THAT(open_sqlite("/proc/nowhere/notes.db").error().detail, HasSubstr("/proc/nowhere"));
}

TEST_F(Sqlite, UpkeepCopiesTheWalBackAndKeepsItsSize) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  EXPECT_FALSE(db->upkeep_due(false));
  for (int i = 0; i < 60; ++i) {
    db->begin();
    for (int j = 0; j < 10; ++j)
      db->run("INSERT INTO notes (text) VALUES ($1)", std::string(2000, 'x'));
    ASSERT_TRUE(db->commit());
  }
  ASSERT_TRUE(db->upkeep_due(false));
  EXPECT_FALSE(db->upkeep_due(true));
  const auto wal = std::filesystem::file_size(path + "-wal");
  db->upkeep();
  EXPECT_FALSE(db->upkeep_due(false));
  db->begin();
  db->run("INSERT INTO notes (text) VALUES ('from the beginning again')");
  ASSERT_TRUE(db->commit());
  EXPECT_EQ(std::filesystem::file_size(path + "-wal"), wal);
  EXPECT_GT(std::filesystem::file_size(path), 1'000'000U);
}

TEST_F(Sqlite, FreePagesAreGivenBackButForAnEighth) {
  auto db = open();
  ASSERT_TRUE(db->script(kTable));
  db->begin();
  for (int i = 0; i < 2000; ++i)
    db->run("INSERT INTO notes (text) VALUES ($1)", std::string(1900, 'x'));
  ASSERT_TRUE(db->commit());
  const std::int64_t full = number(*db, "PRAGMA page_count");
  db->run("DELETE FROM notes WHERE id > 1000");
  int steps = 1;
  while (db->give_back(100))
    ++steps;
  EXPECT_GT(steps, 5);
  EXPECT_LT(number(*db, "PRAGMA page_count"), full * 6 / 10);
  EXPECT_GT(number(*db, "PRAGMA freelist_count"), full / 20);
  EXPECT_EQ(number(*db, "SELECT count(*) FROM notes"), 1000);
}

TEST_F(Sqlite, ACopyTakesInWhatIsWrittenMeanwhile) {
  fill();
  auto db = open();
  db->begin();
  for (int i = 0; i < 2000; ++i)
    db->run("INSERT INTO notes (text) VALUES ($1)", std::string(1000, 'y'));
  ASSERT_TRUE(db->commit());
  const std::string to = folder.file("copy.db");
  auto copy = db->copy_to(to);
  ASSERT_TRUE(copy);
  EXPECT_EQ((*copy)->step(), false);
  db->run("UPDATE notes SET text = 'first' WHERE id = 1");
  Result<bool> whole = false;
  while (whole && !*whole)
    whole = (*copy)->step();
  ASSERT_TRUE(whole);
  copy->reset();
  EXPECT_EQ(mode_of(to), 0600U);
  auto copied = open_sqlite(to);
  ASSERT_TRUE(copied) << copied.error().detail;
  EXPECT_EQ(number(**copied, "SELECT count(*) FROM notes"), 2200);
  EXPECT_EQ(word(**copied, "SELECT text FROM notes WHERE id = 1"), "first");
}

TEST_F(Sqlite, AnUnfinishedCopyLeavesNothing) {
  fill();
  auto db = open();
  db->begin();
  for (int i = 0; i < 2000; ++i)
    db->run("INSERT INTO notes (text) VALUES ($1)", std::string(1000, 'y'));
  ASSERT_TRUE(db->commit());
  const std::string to = folder.file("copy.db");
  auto copy = db->copy_to(to);
  ASSERT_TRUE(copy);
  EXPECT_EQ((*copy)->step(), false);
  EXPECT_FALSE(std::filesystem::exists(to)) << "its name comes last";
  copy->reset();
  EXPECT_FALSE(std::filesystem::exists(to + ".part"));
  write_bytes(to, "mine");
  EXPECT_FALSE(db->copy_to(to)) << "nothing is overwritten";
  EXPECT_EQ(read_bytes(to), "mine");
}

// ---- migrations ----

constexpr Migration kOne{1, kTable};
constexpr Migration kTwo{
    2, "ALTER TABLE notes ADD COLUMN day INTEGER NOT NULL DEFAULT 0; UPDATE notes SET day = 1;"};
constexpr Migration kBroken{3, "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);"};

TEST_F(Sqlite, MigrationsGoForwardAndKeepACopy) {
  {
    auto db = open();
    const Migration steps[] = {kOne};
    EXPECT_EQ(migrate(*db, steps, path, {}), 0);
    EXPECT_EQ(migrate(*db, steps, path, {}), 1) << "nothing left to do";
    db->run("INSERT INTO notes (text) VALUES ('kept')");
  }
  EXPECT_FALSE(std::filesystem::exists(path + ".before-1"));
  {
    auto db = open();
    const Migration steps[] = {kOne, kTwo};
    EXPECT_EQ(migrate(*db, steps, path, {}), 1);
    EXPECT_EQ(number(*db, "SELECT day FROM notes"), 1);
  }
  EXPECT_EQ(mode_of(path + ".before-2"), 0600U);
  auto copy = open_sqlite(path + ".before-2");
  ASSERT_TRUE(copy);
  EXPECT_EQ(word(**copy, "SELECT text FROM notes"), "kept");
  EXPECT_EQ(number(**copy, "SELECT max(version) FROM schema_version"), 1);
}

TEST_F(Sqlite, ALongMigrationTellsThatItGetsOn) {
  auto db = open();
  const Migration first[] = {kOne};
  int told = 0;
  ASSERT_TRUE(migrate(*db, first, path, [&] { ++told; }));
  EXPECT_EQ(told, 0) << "it was short";
  db->run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
      "INSERT INTO notes (text) SELECT hex(randomblob(2000)) FROM n");
  ASSERT_FALSE(db->error());
  const Migration copied[] = {kOne, {2, "CREATE TABLE empty (id INTEGER);"}};
  ASSERT_TRUE(migrate(*db, copied, path, [&] { ++told; }));
  EXPECT_GT(told, 3) << "8 MB were copied";
  const int of_the_copy = told;
  const Migration long_one[] = {kOne,
                                copied[1],
                                {3,
                                 "CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + "
                                 "1 FROM n WHERE i < 300000) "
                                 "SELECT i FROM n;"}};
  ASSERT_TRUE(migrate(*db, long_one, "", [&] { ++told; }));
  EXPECT_GT(told, of_the_copy + 3) << "without a copy, the statement itself";
  const int then = told;
  EXPECT_EQ(number(*db, "SELECT count(*) FROM many a, many b WHERE b.i < 20"), 300'000 * 19);
  EXPECT_EQ(told, then) << "whoever waited for the migration is left alone afterwards";
}

TEST_F(Sqlite, ACopyFromBeforeARollBackGivesWayToANewOne) {
  const Migration first[] = {kOne};
  const Migration both[] = {kOne, kTwo};
  {
    auto db = open();
    ASSERT_TRUE(migrate(*db, first, path, {}));
    ASSERT_TRUE(migrate(*db, both, path, {}));
  }
  for (const char* name : {"", "-wal"})
    std::filesystem::remove(path + name);
  std::filesystem::copy_file(path + ".before-2", path);  // rolled back, and used
  {
    auto db = open();
    EXPECT_EQ(migrate(*db, first, path, {}), 1);
    db->run("INSERT INTO notes (text) VALUES ('since')");
    ASSERT_TRUE(migrate(*db, both, path, {}));
  }
  auto copy = open_sqlite(path + ".before-2");
  ASSERT_TRUE(copy);
  EXPECT_EQ(word(**copy, "SELECT text FROM notes"), "since");
}

TEST_F(Sqlite, AMigrationThatFailsChangesNothing) {
  auto db = open();
  const Migration steps[] = {kOne, kTwo, kBroken};
  const auto migrated = migrate(*db, steps, path, {});
  ASSERT_FALSE(migrated);
  EXPECT_THAT(migrated.error().detail, HasSubstr("migration 3"));
  EXPECT_EQ(number(*db, "SELECT max(version) FROM schema_version"), 2);
  EXPECT_EQ(number(*db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
  EXPECT_FALSE(migrate(*db, steps, path, {})) << "the copy of the first try doesn't stand in the way";
  EXPECT_THAT(migrate(*db, steps, path, {}).error().detail, HasSubstr("migration 3"));
}

TEST_F(Sqlite, ANewerSchemaIsRefused) {
  auto db = open();
  const Migration both[] = {kOne, kTwo};
  ASSERT_TRUE(migrate(*db, both, path, {}));
  const Migration older[] = {kOne};
  const auto refused = migrate(*db, older, path, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, HasSubstr("run the newer program"));
  EXPECT_EQ(number(*db, "SELECT max(version) FROM schema_version"), 2);
}

}  // namespace
}  // namespace katana::db
