#include "gateway/chat/access.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

const Wall kNow = from_unix(1'790'000'000);

TEST(Access, IsClosedToStrangersWhoGetACodeOnceAnHour) {
  Access access(config::Access::Pairing, {}, {});
  EXPECT_FALSE(access.admitted(5));
  const auto knock = access.knock(5, kNow);
  ASSERT_TRUE(knock);
  EXPECT_NE(knock->answer.find(knock->member.pairing_code), std::string::npos);
  EXPECT_FALSE(access.knock(5, kNow + Seconds{3599})) << "one reply an hour";
  const auto again = access.knock(5, kNow + Seconds{3600});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->member.pairing_code, knock->member.pairing_code) << "the code stays the same";
}

TEST(Access, TheFirstOneAllowedIsMadeAdmin) {
  Access access(config::Access::Pairing, {}, {});
  access.restore({});
  std::string code = access.knock(5, kNow)->member.pairing_code;
  for (char& c : code)
    c = static_cast<char>(std::toupper(c));
  const auto first = access.allow(code, false);
  ASSERT_TRUE(first) << "a code may be typed in upper case";
  EXPECT_TRUE(first->first_admin);
  EXPECT_TRUE(access.admin(5));
  const auto second = access.allow("77", false);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->first_admin);
  EXPECT_TRUE(access.admitted(77));
  EXPECT_FALSE(access.admin(77));
  EXPECT_FALSE(access.allow(code, false)) << "a code works once";
}

TEST(Access, LetsNobodyInBeforeItRemembersWhoIsAdmin) {
  Access access(config::Access::Pairing, {}, {});
  const auto early = access.allow("77", false);
  ASSERT_FALSE(early);
  EXPECT_NE(early.error().detail.find("starting"), std::string::npos);
  EXPECT_FALSE(access.deny("5"));
  access.restore({Member{.user_id = 5, .standing = Standing::Admin}});
  const auto allowed = access.allow("77", false);
  ASSERT_TRUE(allowed);
  EXPECT_FALSE(allowed->first_admin);
  EXPECT_FALSE(access.admin(77));
}

TEST(Access, RefusesWhatIsNeitherCodeNorId) {
  Access access(config::Access::Pairing, {}, {});
  access.restore({});
  for (const char* who : {"", "abc", "-5", "0", "5x", "99999999999999999999"}) {
    const auto r = access.allow(who, false);
    ASSERT_FALSE(r) << who;
    EXPECT_NE(r.error().detail.find("katana users"), std::string::npos);
  }
}

TEST(Access, DeniedStaysOutAndHearsNothing) {
  Access access(config::Access::Open, {}, {});
  access.restore({});
  EXPECT_TRUE(access.admitted(5));
  ASSERT_TRUE(access.deny("5"));
  EXPECT_FALSE(access.admitted(5));
  EXPECT_FALSE(access.knock(5, kNow));
}

TEST(Access, AnAllowlistTellsNoCode) {
  Access access(config::Access::Allowlist, {5}, {6});
  EXPECT_TRUE(access.admitted(5));
  EXPECT_TRUE(access.admin(6));
  const auto knock = access.knock(7, kNow);
  ASSERT_TRUE(knock);
  EXPECT_TRUE(knock->member.pairing_code.empty());
}

TEST(Access, RemembersWhatTheStoreKept) {
  Access before(config::Access::Pairing, {}, {});
  const auto code = before.knock(5, kNow)->member.pairing_code;
  Access after(config::Access::Pairing, {8}, {});
  after.restore(before.members());
  EXPECT_FALSE(after.knock(5, kNow + Seconds{60}));
  EXPECT_TRUE(after.allow(code, false));
  EXPECT_TRUE(after.admitted(5));
  Access listed(config::Access::Pairing, {5}, {});
  listed.restore({Member{.user_id = 5, .standing = Standing::Denied}});
  EXPECT_TRUE(listed.admitted(5)) << "the settings' list stands above the store";
}

TEST(Access, StrangersCantFillTheStore) {
  Access access(config::Access::Pairing, {}, {});
  int answered = 0;
  for (int id = 1; id <= 10'500; ++id)
    answered += access.knock(id, kNow).has_value();
  EXPECT_EQ(answered, 10'000);
  EXPECT_TRUE(access.knock(20'000, kNow + Seconds{31 * 24 * 3600})) << "those of last month make room";
}

}  // namespace
}  // namespace katana::gateway
