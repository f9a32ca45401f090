#include <string>

#include "common/config/models.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {

/// The operator's table of models.
void run(std::string_view input) {
  const auto table = config::parse_models(input, "fuzz.toml");
  if (!table) {
    require(table.error().detail.find("fuzz.toml") != std::string::npos, "the error names the file");
    return;
  }
  for (const config::Model& model : table->models) {
    require(!model.id.empty() && !model.label.empty(), "a model has an id and a label");
    require(model.provider == "claude" || model.provider == "openai", "a model has a provider");
    for (const auto& price :
         {model.price_input, model.price_output, model.price_cache_read, model.price_cache_write}) {
      require(!price || (*price >= 0 && *price < 1e9), "a price is a sane number");
    }
  }
}

}  // namespace katana::fuzz
