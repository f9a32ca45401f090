#include <string>

#include "gateway/outbound/fuzz.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {

/// An answer cut into messages while it grows. A fuzzer's inputs are short, and answers that need several
/// messages are long: the first byte says whether the rest is repeated.
void run(std::string_view input) {
  if (input.empty()) return;
  const bool repeated = static_cast<unsigned char>(input.front()) % 8 == 0;
  input.remove_prefix(1);
  std::string text(input);
  while (repeated && !input.empty() && text.size() < 5'000)
    text.append(input);
  const std::string flaw =
      gateway::fuzz::check_composer(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  require(flaw.empty(), flaw.c_str());
}

}  // namespace katana::fuzz
