#include "common/service/alarm.hpp"

#include <csignal>

#include <gtest/gtest.h>
#include <unistd.h>

namespace katana::service {
namespace {

TEST(HangAlarm, EndsAProcessThatNeverReArmsIt) {
  EXPECT_EXIT(
      {
        const HangAlarm alarm(Millis{50});
        for (;;)
          pause();
      },
      testing::ExitedWithCode(HangAlarm::kExitStatus), "the loop has not turned");
}

TEST(HangAlarm, OneExpiryAloneIsForgiven) {
  EXPECT_EXIT(
      {
        const HangAlarm alarm;
        for (int i = 0; i < 5; ++i) {  // stopped and thawed, five times
          std::raise(SIGALRM);
          alarm.rearm();
        }
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        const HangAlarm alarm;
        std::raise(SIGALRM);
        std::raise(SIGALRM);
        _exit(0);
      },
      testing::ExitedWithCode(HangAlarm::kExitStatus), "");
}

}  // namespace
}  // namespace katana::service
