#include <gtest/gtest.h>

#include "common/config/settings.hpp"
#include "common/core/id.hpp"
#include "tests/unit/config/place.hpp"

namespace katana::config {
namespace {

Environment good(std::string_view text) {
  auto env = parse_env(text, "f");
  EXPECT_TRUE(env) << env.error().detail;
  return env.value_or(Environment{});
}

std::string reason(std::string_view text) {
  auto env = parse_env(text, "f");
  EXPECT_FALSE(env) << text;
  return env ? "" : env.error().detail;
}

TEST(EnvFile, TakesWhatPeopleWrite) {
  const auto env = good(
      "\xEF\xBB\xBF# a comment\n"
      "\n"
      "A=1\r\n"
      "  export B = two words # and a comment\n"
      "C='single # $x \\n'  # comment\n"
      "D=\"a\\tb\\\"c\\\\d\\$e\"\n"
      "E=\n"
      "F=a#b\n"
      "export\tG=5 USD\n"
      "H=#nothing\n"
      "I=last");
  const Environment want{{"A", "1"},   {"B", "two words"}, {"C", "single # $x \\n"}, {"D", "a\tb\"c\\d$e"},
                         {"E", ""},    {"F", "a#b"},       {"G", "5 USD"},           {"H", ""},
                         {"I", "last"}};
  EXPECT_EQ(env, want);
}

TEST(EnvFile, SaysPlaceAndReason) {
  EXPECT_EQ(reason("A=1\nnonsense\n"), "f line 2: no '=' (expected NAME=value)");
  EXPECT_EQ(reason("=x"), "f line 1: no name of letters, digits and _ before the '='");
  EXPECT_EQ(reason("1A=x"), "f line 1: no name of letters, digits and _ before the '='");
  EXPECT_EQ(reason("A B=x"), "f line 1: no name of letters, digits and _ before the '='");
  EXPECT_EQ(reason("\n\nA='x"), "f line 3: A: the closing ' is missing");
  EXPECT_EQ(reason("A=\"x\\"), "f line 1: A: the closing \" is missing");
  EXPECT_EQ(reason("A=\"x\\q\""), "f line 1: A: unknown escape after \\ (known: \\n \\t \\\" \\\\ \\$)");
  EXPECT_EQ(reason("A='x' y"), "f line 1: A: text after the closing '");
  EXPECT_EQ(reason("A=\"x\"y"), "f line 1: A: text after the closing \"");
  EXPECT_EQ(reason("A=1\nB=2\nA=3"), "f line 3: A stands on line 1 already; keep one of them");
  EXPECT_EQ(reason("A=\xFF"), "f line 1: not UTF-8 text");
  EXPECT_EQ(reason(std::string_view("A=\0b", 4)), "f line 1: not UTF-8 text");
  EXPECT_EQ(reason("A=" + std::string(70000, 'x')), "f line 1: longer than 64 KiB");
  EXPECT_EQ(reason(std::string((1 << 20) + 1, '\n')), "f: larger than 1 MiB");
}

TEST(EnvFile, AnErrorNeverRepeatsAValue) {
  const std::string key = "sk-ant-secret-of-mine";
  EXPECT_EQ(reason("ANTHROPIC_API_KEY='" + key).find(key), std::string::npos);
  EXPECT_EQ(reason("ANTHROPIC_API_KEY=\"" + key + "\\x\"").find(key), std::string::npos);
  EXPECT_EQ(reason(key).find(key), std::string::npos);
}

TEST(EnvFile, AnyBytesGiveSettingsOrAnError) {
  const std::string alphabet("AB=#'\"\\ \n\r\t$\0\xFF\xC3\xA9 export", 24);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (std::uint64_t n = random_u64() % 40; n > 0; --n)
      text += alphabet[random_u64() % alphabet.size()];
    const auto env = parse_env(text, "f");
    if (env) {
      for (const auto& [name, value] : *env)
        EXPECT_FALSE(name.empty());
    } else {
      EXPECT_TRUE(env.error().detail.starts_with("f line ")) << env.error().detail;
    }
  }
}

TEST(EnvFile, IsReadFromDisk) {
  const Place place;
  const auto path = place.file("some.env", "A=1\n");
  EXPECT_EQ(read_env_file(path).value(), (Environment{{"A", "1"}}));
  EXPECT_EQ(read_env_file("/dev/null").value(), Environment{});
  EXPECT_EQ(read_env_file(place.path()).error().detail, place.path() + " is not a regular file");
  EXPECT_EQ(read_env_file(place.path() + "/none").error().detail,
            "cannot read " + place.path() + "/none: No such file or directory");
  const auto big = place.file("big.env", std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(read_env_file(big).error().detail, big + " is larger than 1024 KiB");
}

TEST(EnvFile, TheProcessWinsOverTheFile) {
  const Environment process{{"A", "process"}, {"S_FILE", "/p"}, {"T", "direct"}, {"E", ""}};
  const Environment file{{"A", "file"}, {"B", "file"}, {"S", "secret"}, {"T_FILE", "/t"}, {"E", "file"}};
  const Environment want{{"A", "process"}, {"B", "file"}, {"S_FILE", "/p"}, {"T", "direct"}, {"E", ""}};
  EXPECT_EQ(merged(process, file), want);
}

}  // namespace
}  // namespace katana::config
