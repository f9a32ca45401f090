#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace katana::fuzz {

/// What each target defines: one run of its parser over any bytes. It must neither crash nor hang, and what
/// it finds out about the result it checks by `require`. State may be kept from run to run only where the
/// program keeps it too.
void run(std::string_view input);

/// Ends the process when a promise is broken; the driver then keeps the input that broke it.
inline void require(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

}  // namespace katana::fuzz
