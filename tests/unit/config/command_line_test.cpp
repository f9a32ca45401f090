#include "common/config/command_line.hpp"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/config/place.hpp"

namespace katana::config {
namespace {

using testing::HasSubstr;

struct Outcome {
  tl::expected<CommandLine, int> line;
  std::string out, err;
};

Outcome parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "katana-gateway");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  auto line =
      parse_command_line(static_cast<int>(arguments.size()), arguments.data(), {"katana-gateway", "Polls."});
  return {std::move(line), testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

TEST(CommandLine, TakesItsOptions) {
  EXPECT_EQ(parse({}).line->env_file, "");
  const auto both = parse({"--env-file", "some.env", "--instance=gateway-b"});
  EXPECT_EQ(both.line->env_file, "some.env");
  EXPECT_EQ(both.line->instance, "gateway-b");
}

TEST(CommandLine, HelpAndVersionPrintAndEndWell) {
  const auto help = parse({"--help"});
  EXPECT_EQ(help.line.error(), 0);
  EXPECT_THAT(help.out, HasSubstr("Polls."));
  EXPECT_THAT(help.out, HasSubstr("--env-file"));
  const auto version = parse({"--version"});
  EXPECT_EQ(version.line.error(), 0);
  EXPECT_EQ(version.out, std::string("katana-gateway ") + KATANA_VERSION + "\n");
}

TEST(CommandLine, WhatItDoesNotKnowIsOneLineAndStatusTwo) {
  for (const auto& arguments :
       {std::vector<const char*>{"--bogus"}, {"word"}, {"--env-file"}, {"--instance"}}) {
    const auto bad = parse(arguments);
    EXPECT_EQ(bad.line.error(), 2) << arguments.front();
    EXPECT_EQ(bad.out, "");
    EXPECT_EQ(std::count(bad.err.begin(), bad.err.end(), '\n'), 1);
    EXPECT_THAT(bad.err, testing::StartsWith("katana-gateway: "));
  }
  EXPECT_THAT(parse({"--bogus"}).err, HasSubstr("--bogus"));
}

TEST(CommandLine, TheNamedFileIsReadAndTheEnvironmentWins) {
  const Place place;
  const auto path =
      place.file("k.env", "KATANA_ACCESS=open\nKATANA_STREAMING=off\nKATANA_INSTANCE=from-file\n");
  setenv("KATANA_ACCESS", "allowlist", 1);
  const auto s = load(Program::Tool, CommandLine{path, "from-option"});
  unsetenv("KATANA_ACCESS");
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->access, Access::Allowlist);
  EXPECT_EQ(s->streaming, Streaming::Off);
  EXPECT_EQ(s->instance, "from-option");
}

TEST(CommandLine, AFileThatCannotBeReadIsAnError) {
  EXPECT_EQ(load(Program::Tool, CommandLine{"/nowhere/k.env", ""}).error().detail,
            "--env-file: cannot read /nowhere/k.env: No such file or directory");
  const Place place;
  const auto broken = place.file("k.env", "nonsense\n");
  EXPECT_EQ(load(Program::Tool, CommandLine{broken, ""}).error().detail,
            "--env-file: " + broken + " line 1: no '=' (expected NAME=value)");
}

TEST(CommandLine, AFileWithSecretsThatOthersCanReadWarns) {
  const Place place;
  const auto path = place.file("k.env", "OPENAI_API_KEY=sk-12345678\n", 0644);
  std::vector<std::string> warnings;
  ASSERT_TRUE(gather({path, ""}, warnings));
  EXPECT_THAT(warnings, testing::ElementsAre(
                            path + ": holds secrets, and other users can read it; run: chmod 600 " + path));
  warnings.clear();
  const auto harmless = place.file("h.env", "KATANA_ACCESS=open\n", 0644);
  ASSERT_TRUE(gather({harmless, ""}, warnings));
  EXPECT_TRUE(warnings.empty());
}

}  // namespace
}  // namespace katana::config
