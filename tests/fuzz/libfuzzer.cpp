#include <cstddef>
#include <cstdint>

#include "tests/fuzz/target.hpp"

// libFuzzer's entry point: it drives by coverage. Built with clang alone (preset `fuzz`).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  katana::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
