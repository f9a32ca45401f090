#include "common/service/program.hpp"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/core/id.hpp"
#include "common/log/log.hpp"

namespace katana::service {
namespace {

constexpr const char* kToken = "1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456789";

ProgramInfo info() {
  ProgramInfo out;
  out.about = {"katana-gateway", "Polls."};
  out.component = "gateway";
  out.makes_directories = true;
  return out;
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    setenv("KATANA_TELEGRAM_TOKEN", kToken, 1);
    setenv("ANTHROPIC_API_KEY", "sk-ant-12345678", 1);
    setenv("KATANA_STATE_DIR", (place_ / "state").c_str(), 1);
    setenv("KATANA_RUN_DIR", (place_ / "deep/run").c_str(), 1);
  }
  ~ProgramTest() override {
    for (const auto* name :
         {"KATANA_TELEGRAM_TOKEN", "ANTHROPIC_API_KEY", "KATANA_STATE_DIR", "KATANA_RUN_DIR"}) {
      unsetenv(name);
    }
    std::filesystem::remove_all(place_);
  }

  int run(const std::function<int(const config::Settings&)>& body) {
    const char* arguments[] = {"katana-gateway", "--env-file", "/dev/null"};
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int status = run_program(
        3, arguments, info(), [&](const config::Settings& s, const config::CommandLine&) { return body(s); });
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return status;
  }

  std::filesystem::path place_ = std::filesystem::temp_directory_path() / ("katana-program-" + fresh_id());
  std::string out_, err_;
};

TEST_F(ProgramTest, RunsItsBodyWithALogAndPrivateDirectories) {
  EXPECT_EQ(run([](const config::Settings& s) {
              log::Room().info("the token is {} ({})", s.telegram.token.reveal(), s.telegram.token.masked());
              return 7;
            }),
            7);
  EXPECT_THAT(out_, testing::HasSubstr(std::string(" - gateway - INFO - Initializing katana-gateway ") +
                                       KATANA_VERSION + "\n"));
  EXPECT_THAT(out_, testing::HasSubstr("the token is 123...:789 (123...:789)\n"));
  EXPECT_EQ(err_, "");
  struct stat made {};
  ASSERT_EQ(stat((place_ / "deep/run").c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0700U);
}

TEST_F(ProgramTest, ABadSettingIsOneLineAndStatusTwo) {
  setenv("KATANA_TELEGRAM_TOKEN", "hunter2", 1);
  EXPECT_EQ(run([](const config::Settings&) { return 0; }), 2);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_,
            "katana-gateway: KATANA_TELEGRAM_TOKEN: not a bot token (expected digits:characters, as "
            "BotFather gives "
            "it); set it to the token from @BotFather\n");
}

TEST_F(ProgramTest, ADirectoryThatCannotBeMadeIsABadSetting) {
  setenv("KATANA_RUN_DIR", "/proc/katana", 1);
  EXPECT_EQ(run([](const config::Settings&) { return 0; }), 2);
  EXPECT_THAT(err_, testing::StartsWith("katana-gateway: KATANA_RUN_DIR: cannot use /proc/katana ("));
}

TEST_F(ProgramTest, WhatIsThrownWhileStartingEndsItWithStatusOne) {
  EXPECT_EQ(run([](const config::Settings&) -> int { throw std::runtime_error("no descriptors left"); }), 1);
  EXPECT_THAT(err_, testing::HasSubstr("katana-gateway: cannot start: no descriptors left\n"));
}

}  // namespace
}  // namespace katana::service
