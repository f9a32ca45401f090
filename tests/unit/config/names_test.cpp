#include "common/config/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace katana::config {
namespace {

using testing::Contains;
using testing::Not;

TEST(Names, StrayOnesAreReportedWithTheNameThatWasMeant) {
  const auto meant = [](const std::string& name, const std::string& wanted) {
    EXPECT_EQ(stray_name(name).value_or("nothing"),
              name + ": not a setting of Katana and ignored; did you mean " + wanted + "?");
  };
  meant("KATANA_TELEGRAM_TOKN", "KATANA_TELEGRAM_TOKEN");
  meant("KATANA_ALOWED_USER", "KATANA_ALLOWED_USERS");
  meant("ANTROPIC_API_KEY", "ANTHROPIC_API_KEY");
  meant("OPENAI_API_KEYS", "OPENAI_API_KEY");
  meant("TELEGRAM_TOKEN", "KATANA_TELEGRAM_TOKEN");
  meant("TELEGRAM_BOT_TOKEN", "KATANA_TELEGRAM_TOKEN");
  meant("ALLOWED_USERS", "KATANA_ALLOWED_USERS");
  meant("katana_access", "KATANA_ACCESS");
  EXPECT_EQ(stray_name("KATANA_FLYING_CARPET"), "KATANA_FLYING_CARPET: not a setting of Katana and ignored");
  EXPECT_EQ(stray_name("KATANA_ACCESS_FILE"),
            "KATANA_ACCESS_FILE: only secrets can come from a file; set KATANA_ACCESS");
}

TEST(Names, OthersNamesAreLeftInPeace) {
  for (const auto* name : {"PATH", "HOME", "STORE", "KEYS", "BUS", "SMTP_HOST", "LANG", "STATE_DIRECTORY",
                           "KATANA_ACCESS", "OPENAI_API_KEY_FILE", "SMTP_CA_FILE", "KATANA_HEARTBEAT_FILE"}) {
    EXPECT_EQ(stray_name(name), std::nullopt) << name;
  }
}

TEST(Names, AProgramSeesItsOwnSecretsAlone) {
  const auto gateway = names_of(Program::Gateway);
  EXPECT_THAT(gateway, Contains("KATANA_TELEGRAM_TOKEN"));
  EXPECT_THAT(gateway, Contains("KATANA_TELEGRAM_TOKEN_FILE"));
  EXPECT_THAT(gateway, Contains("PATH"));
  const auto claude = names_of(Program::Claude);
  EXPECT_THAT(claude, Contains("ANTHROPIC_API_KEY"));
  EXPECT_THAT(claude, Contains("KATANA_BUS"));
  const auto watchdog = names_of(Program::Watchdog);
  EXPECT_THAT(watchdog, Contains("SMTP_PASSWORD"));

  for (const Program program : {Program::Gateway, Program::Claude, Program::OpenAi, Program::Watchdog}) {
    const auto names = names_of(program);
    const auto alone = [&](Program owner, const char* name) {
      if (program != owner) {
        EXPECT_THAT(names, Not(Contains(name)));
        EXPECT_THAT(names, Not(Contains(std::string(name) + "_FILE")));
      }
    };
    alone(Program::Gateway, "KATANA_TELEGRAM_TOKEN");
    alone(Program::Gateway, "KATANA_STORE");
    alone(Program::Gateway, "KATANA_WEBHOOK_SECRET");
    alone(Program::Claude, "ANTHROPIC_API_KEY");
    alone(Program::OpenAi, "OPENAI_API_KEY");
    alone(Program::Watchdog, "TELEGRAM_ALERT_BOT_TOKEN");
    alone(Program::Watchdog, "TELEGRAM_BOT_TOKEN_ALERT");
    alone(Program::Watchdog, "SMTP_PASSWORD");
    alone(Program::Watchdog, "ALERT_DEADMAN_URL");
    alone(Program::Watchdog, "ALERT_WEBHOOK_KEY");
    alone(Program::Watchdog, "KATANA_WATCHDOG_TOKEN");
  }
}

}  // namespace
}  // namespace katana::config
