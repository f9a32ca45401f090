#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/settings.hpp"
#include "common/config/sources.hpp"
#include "tests/unit/config/place.hpp"

namespace katana::config {
namespace {

constexpr const char* kToken = "1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456789";

Environment with_token_file(const std::string& path) {
  return {{"KATANA_TELEGRAM_TOKEN_FILE", path}, {"ANTHROPIC_API_KEY", "sk-ant-12345678"}};
}

TEST(Secrets, ComeFromAFileWithoutItsLineEnd) {
  const Place place;
  const auto s = load(Program::Gateway, with_token_file(place.file("token", std::string(kToken) + "\r\n")));
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->telegram.token.reveal(), kToken);
}

TEST(Secrets, AFileThatOthersCanReadIsRefused) {
  const Place place;
  const auto path = place.file("token", kToken, 0644);
  EXPECT_EQ(load(Program::Gateway, with_token_file(path)).error().detail,
            "KATANA_TELEGRAM_TOKEN: other users can read " + path + "; run: chmod 600 " + path);
  EXPECT_TRUE(load(Program::Gateway, with_token_file(place.file("group", kToken, 0640))));
}

TEST(Secrets, AnEmptyCredentialIsNone) {
  const Place place;
  place.file("OPENAI_API_KEY", "");
  const Environment env{{"CREDENTIALS_DIRECTORY", place.path()}};
  std::vector<std::string> warnings;
  EXPECT_EQ(find_secret(env, "OPENAI_API_KEY", warnings).value(), std::nullopt);
  EXPECT_FALSE(has_secret(env, "OPENAI_API_KEY"));
  const auto worker = load(Program::OpenAi, env);
  ASSERT_TRUE(worker) << worker.error().detail;
  EXPECT_FALSE(worker->openai.on);
}

TEST(Secrets, SystemdsDirectoryComesLastAndOnlyWarns) {
  const Place place;
  place.file("KATANA_TELEGRAM_TOKEN", kToken, 0644);
  const auto s = load(Program::Gateway,
                      {{"CREDENTIALS_DIRECTORY", place.path()}, {"ANTHROPIC_API_KEY", "sk-ant-12345678"}});
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->telegram.token.reveal(), kToken);
  EXPECT_THAT(s->warnings, testing::Contains("KATANA_TELEGRAM_TOKEN: other users can read " + place.path() +
                                             "/KATANA_TELEGRAM_TOKEN"));

  const std::string other = "99999:ABCDEFGHIJKLMnopqrstuvwxyz123456789";
  const auto direct = load(Program::Gateway, {{"CREDENTIALS_DIRECTORY", place.path()},
                                              {"KATANA_TELEGRAM_TOKEN", other},
                                              {"ANTHROPIC_API_KEY", "sk-ant-12345678"}});
  EXPECT_EQ(direct.value().telegram.token.reveal(), other);
}

TEST(Secrets, WhatIsWrongWithTheFileIsSaid) {
  const Place place;
  const auto reason = [](const std::string& path) {
    return load(Program::Gateway, with_token_file(path)).error().detail;
  };
  EXPECT_EQ(reason("/nowhere/token"),
            "KATANA_TELEGRAM_TOKEN: cannot read /nowhere/token: No such file or directory");
  EXPECT_EQ(reason(place.path()), "KATANA_TELEGRAM_TOKEN: " + place.path() + " is not a regular file");
  const auto empty = place.file("empty", "\n");
  EXPECT_EQ(reason(empty), "KATANA_TELEGRAM_TOKEN: " + empty + " is empty");
  const auto big = place.file("big", std::string(65537, 'x'));
  EXPECT_EQ(reason(big), "KATANA_TELEGRAM_TOKEN: " + big + " is larger than 64 KiB");
}

TEST(Secrets, TwoPlacesForOneAreRefused) {
  const Place place;
  Environment env = with_token_file(place.file("token", kToken));
  env["KATANA_TELEGRAM_TOKEN"] = kToken;
  EXPECT_EQ(load(Program::Gateway, env).error().detail,
            "KATANA_TELEGRAM_TOKEN: set both here and by KATANA_TELEGRAM_TOKEN_FILE; keep one of them");
}

TEST(Secrets, AreListedForTheLog) {
  Settings s;
  s.telegram.token = Secret("one");
  s.claude.keys = {Secret("two"), Secret("three")};
  s.store = Secret("sqlite:/x");
  EXPECT_THAT(secrets_of(s), testing::UnorderedElementsAre(Secret("one"), Secret("two"), Secret("three")));
  s.store = Secret("postgresql://u:p@h/d");
  EXPECT_THAT(secrets_of(s), testing::Contains(Secret("postgresql://u:p@h/d")));
}

}  // namespace
}  // namespace katana::config
