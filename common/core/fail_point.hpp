#pragma once

#include <string_view>

namespace katana {

/// A step of the way at which the fault harness (tests/fault) can kill this very process. Only in test builds
/// (KATANA_FAIL_POINTS): there `FAIL_AT=STEP:N` in the environment ends the process by SIGKILL when it passes
/// STEP for the Nth time; `FAIL_AT=STEP:N:stop` freezes it by SIGSTOP. Loop thread only. A name stands in one
/// place, and in `STEPS` of tests/fault/steps.py.
#ifdef KATANA_FAIL_POINTS
void fail_point(std::string_view step);
#else
inline void fail_point(std::string_view) {}
#endif

}  // namespace katana
