#include "common/bus/keys.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/bus/world.hpp"

namespace katana::bus {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

unsigned mode_of(const fs::path& path) {
  struct stat found {};
  EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 0777;
}

TEST(Keys, AreMadeForTheirOwnerAlone) {
  const TempDir dir;
  const fs::path keys = dir.path() / "keys";
  const auto made = make_keys(keys);
  ASSERT_TRUE(made) << made.error().detail;
  EXPECT_EQ(made->size(), 9u);
  EXPECT_EQ(mode_of(keys), 0700u);
  EXPECT_EQ(mode_of(keys / "authorized"), 0700u);
  for (const std::string& file : *made)
    EXPECT_EQ(mode_of(file), 0600u);

  for (const char* party : {"server", "worker", "watchdog"}) {
    const auto pair = read_pair(keys, party);
    ASSERT_TRUE(pair) << pair.error().detail;
    EXPECT_EQ(pair->public_key.size(), kKeyCharacters);
    EXPECT_NE(pair->public_key, pair->secret_key.reveal());
  }
  const auto authorized = read_authorized(keys);
  ASSERT_TRUE(authorized);
  EXPECT_EQ(authorized->size(), 3u);
  EXPECT_EQ(authorized->at(read_public(keys, "worker").value()), "worker");
  EXPECT_EQ(authorized->at(read_public(keys, "server").value()), "server");
  EXPECT_EQ(authorized->at(read_public(keys, "watchdog").value()), "watchdog");
}

TEST(Keys, OfOneMoreWorkerAreLaidOutForItsMachine) {
  const TempDir dir;
  ASSERT_TRUE(make_keys(dir.path()));
  const auto folder = make_worker_keys(dir.path(), "rack-2");
  ASSERT_TRUE(folder) << folder.error().detail;
  EXPECT_EQ(*folder, (dir.path() / "rack-2").string());
  EXPECT_EQ(mode_of(*folder), 0700u);
  const auto pair = read_client_pair(*folder);
  ASSERT_TRUE(pair) << pair.error().detail;
  EXPECT_EQ(read_authorized(dir.path())->at(pair->public_key), "rack-2");
  EXPECT_EQ(read_public(*folder, "server").value(), read_public(dir.path(), "server").value());
  EXPECT_EQ(read_public(*folder, "watchdog").value(), read_public(dir.path(), "watchdog").value());
  EXPECT_FALSE(fs::exists(dir.path() / "rack-2/server.secret"));
  EXPECT_THAT(make_worker_keys(dir.path(), "rack-2").error().detail, HasSubstr("never overwritten"));
  for (const char* name : {"", "../x", "authorized", "A"})
    EXPECT_THAT(make_worker_keys(dir.path(), name).error().detail, HasSubstr("no name")) << name;
}

TEST(Keys, OfTwoPairsAreNoPair) {
  const TempDir dir;
  const TempDir other;
  ASSERT_TRUE(make_keys(dir.path()));
  ASSERT_TRUE(make_keys(other.path()));
  fs::copy_file(other.path() / "server.public", dir.path() / "server.public",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(read_pair(dir.path(), "server").error().detail, HasSubstr("don't belong together"));
}

TEST(Keys, SecretsMayLieElsewhere) {
  const TempDir dir;
  const TempDir credentials;
  ASSERT_TRUE(make_keys(dir.path()));
  const auto before = read_pair(dir.path(), "server")->secret_key.reveal();
  fs::rename(dir.path() / "server.secret", credentials.path() / "server.secret");
  EXPECT_FALSE(read_pair(dir.path(), "server"));
  EXPECT_EQ(read_pair(dir.path(), "server", credentials.path())->secret_key.reveal(), before);
}

TEST(Keys, AreNeverOverwritten) {
  const TempDir dir;
  ASSERT_TRUE(make_keys(dir.path()));
  const std::string before = read_public(dir.path(), "server").value();
  const auto again = make_keys(dir.path());
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().detail, HasSubstr("never overwritten"));
  EXPECT_EQ(read_public(dir.path(), "server").value(), before);

  const TempDir part;
  std::ofstream(part.path() / "watchdog.public") << "mine";
  ASSERT_FALSE(make_keys(part.path()));
  EXPECT_FALSE(fs::exists(part.path() / "server.secret"));  // all or none
}

TEST(Keys, DirectoryOpenToOthersIsRefused) {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms(0755));
  const auto made = make_keys(dir.path());
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().detail, HasSubstr("chmod 700"));
}

TEST(Keys, SecretThatOthersCanReadIsRefused) {
  const TempDir dir;
  ASSERT_TRUE(make_keys(dir.path()));
  for (const unsigned mode : {0644U, 0640U, 0604U, 0620U}) {
    fs::permissions(dir.path() / "worker.secret", fs::perms(mode));
    const auto pair = read_pair(dir.path(), "worker");
    ASSERT_FALSE(pair);
    EXPECT_THAT(pair.error().detail, HasSubstr("can be read by others"));
  }
  fs::permissions(dir.path() / "worker.secret", fs::perms(0400));
  EXPECT_TRUE(read_pair(dir.path(), "worker"));
}

TEST(Keys, BrokenFilesAreNamedWithoutTheirContent) {
  const TempDir dir;
  ASSERT_TRUE(make_keys(dir.path()));
  for (const std::string& content : {std::string(), std::string("short"), std::string(41, 'x'),
                                     std::string(40, '"'), std::string(5000, 'k'), std::string(40, '\0')}) {
    std::ofstream(dir.path() / "worker.secret", std::ios::trunc) << content;
    const auto pair = read_pair(dir.path(), "worker");
    ASSERT_FALSE(pair) << content;
    EXPECT_THAT(pair.error().detail, HasSubstr("worker.secret isn't one line of 40 characters"));
    if (!content.empty()) {
      EXPECT_THAT(pair.error().detail, testing::Not(HasSubstr(content)));
    }
  }
  std::ofstream(dir.path() / "authorized" / "other.public") << "?";
  EXPECT_THAT(read_authorized(dir.path()).error().detail, HasSubstr("other.public"));
  EXPECT_THAT(read_pair(dir.path() / "none", "worker").error().detail, HasSubstr("katana keygen"));
}

TEST(Keys, AGatewayOrAWatchdogAloneOnItsHostShowsItsOwnPair) {
  const TempDir dir;
  ASSERT_TRUE(make_keys(dir.path()));
  EXPECT_EQ(read_client_pair(dir.path())->public_key, read_public(dir.path(), "worker").value());
  fs::remove(dir.path() / "worker.secret");
  EXPECT_EQ(read_client_pair(dir.path())->public_key, read_public(dir.path(), "server").value());
  fs::remove(dir.path() / "server.secret");
  EXPECT_EQ(read_client_pair(dir.path())->public_key, read_public(dir.path(), "watchdog").value());
  fs::remove(dir.path() / "watchdog.secret");
  EXPECT_THAT(read_client_pair(dir.path()).error().detail, HasSubstr("worker.secret"));
}

}  // namespace
}  // namespace katana::bus
