#include "common/core/fail_point.hpp"

#ifdef KATANA_FAIL_POINTS

#include <charconv>
#include <cstdlib>
#include <string>

#include <signal.h>
#include <unistd.h>

namespace katana {
namespace {

struct Plan {
  std::string step;
  int passes_left = 0;
  int signal = SIGKILL;
};

Plan read_plan() {
  const char* given = std::getenv("FAIL_AT");
  const std::string_view text = given == nullptr ? std::string_view() : std::string_view(given);
  const auto colon = text.find(':');
  Plan plan;
  if (colon == std::string_view::npos) return plan;
  plan.step = text.substr(0, colon);
  const std::string_view count = text.substr(colon + 1);
  std::from_chars(count.data(), count.data() + count.size(), plan.passes_left);
  if (count.ends_with(":stop")) plan.signal = SIGSTOP;
  return plan;
}

}  // namespace

void fail_point(std::string_view step) {
  static Plan plan = read_plan();
  if (plan.passes_left == 0 || step != plan.step || --plan.passes_left > 0) return;
  kill(getpid(), plan.signal);
}

}  // namespace katana

#endif
