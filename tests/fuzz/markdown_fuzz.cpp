#include <string>

#include "gateway/outbound/fuzz.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {

/// A model's Markdown to Telegram's text and entities, whole and as if it still came.
void run(std::string_view input) {
  const std::string flaw =
      gateway::fuzz::check_markdown(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  require(flaw.empty(), flaw.c_str());
  const std::string clean = gateway::markdown::clean(input);
  require(gateway::markdown::clean(clean) == clean, "clean text stays as it is");
}

}  // namespace katana::fuzz
