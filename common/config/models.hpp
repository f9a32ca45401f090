#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.hpp"

namespace katana::config {

/// One row of the table of models (deploy/models.toml, with the operator's KATANA_MODELS laid over it).
struct Model {
  std::string id;        ///< the provider's own id
  std::string provider;  ///< "claude" or "openai"
  std::string label;     ///< what users see
  bool is_default = false;
  std::uint32_t context_tokens = 0;     ///< how much of a conversation is sent; 0: no limit of ours
  std::uint32_t max_output_tokens = 0;  ///< how long an answer may get; 0: not stated
  /// USD per million tokens; absent where no price is known for sure.
  std::optional<double> price_input, price_output, price_cache_read, price_cache_write;
};

struct ModelTable {
  std::vector<Model> models;
  [[nodiscard]] const Model* find(std::string_view id) const;
  /// The model marked as default, else the first one; null: the provider has none.
  [[nodiscard]] const Model* default_of(std::string_view provider) const;
};

/// Parses TOML text; the error says line, column and reason. `name` is the file's, for that message.
Result<ModelTable> parse_models(std::string_view toml, const std::string& name);
/// The shipped table, then `overlay_path` over it by id (empty: none).
Result<ModelTable> load_models(const std::string& shipped_path, const std::string& overlay_path);
/// Where the shipped table lies: `share/katana` beside the programs' folder, or `deploy` of the source tree.
Result<std::string> shipped_models_path();

}  // namespace katana::config
