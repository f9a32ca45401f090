#include "common/config/models.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include <toml++/toml.h>
#include <unistd.h>

#include "common/config/sources.hpp"
#include "common/config/values.hpp"

namespace katana::config {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxModels = 500;
constexpr std::int64_t kMaxTokens = 100'000'000;
constexpr double kMaxPrice = 100'000;  // USD per million tokens

/// Reads one file's rows over a table. The first error stands.
class Overlay {
 public:
  Overlay(ModelTable& table, const std::string& file) : table_(table), file_(file) {}

  Result<void> apply(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (key != "model" || !node.is_array_of_tables()) {
        return error(node, "only [[model]] tables are known here, not \"" + std::string(key.str()) + "\"");
      }
      for (const auto& row : *node.as_array()) {
        if (auto done = apply_row(*row.as_table()); !done) return done;
      }
    }
    return {};
  }

 private:
  Result<void> apply_row(const toml::table& row) {
    const auto id = row["id"].value<std::string>();
    if (!id || !parse_model(*id) || id->empty())
      return error(row, "a [[model]] needs an id as its provider writes it");
    if (!seen_.insert(*id).second) return error(row, *id + " stands in this file twice");
    auto at =
        std::find_if(table_.models.begin(), table_.models.end(), [&](const Model& m) { return m.id == *id; });
    const bool fresh = at == table_.models.end();
    Model model = fresh ? Model{} : *at;
    model.id = *id;
    bool offered = true;
    for (const auto& [key, node] : row) {
      if (auto done = apply_key(model, offered, key.str(), node); !done) return done;
    }
    if (model.provider.empty()) return error(row, *id + " needs provider = \"claude\" or \"openai\"");
    if (model.label.empty()) model.label = model.id;
    if (row["default"].value_or(false)) {
      if (!defaults_.insert(model.provider).second) {
        return error(row, "a second default model for " + model.provider + " in this file");
      }
      for (Model& other : table_.models) {
        if (other.provider == model.provider) other.is_default = false;
      }
    }
    if (!offered) {
      if (!fresh) table_.models.erase(at);
    } else if (!fresh) {
      *at = std::move(model);
    } else if (table_.models.size() == kMaxModels) {
      return error(row, "more than " + std::to_string(kMaxModels) + " models");
    } else {
      table_.models.push_back(std::move(model));
    }
    return {};
  }

  Result<void> apply_key(Model& m, bool& offered, std::string_view key, const toml::node& node) {
    if (key == "id") return {};
    if (key == "provider") {
      const auto v = node.value<std::string>();
      if (!v || (*v != "claude" && *v != "openai"))
        return error(node, "provider is \"claude\" or \"openai\"");
      m.provider = *v;
      return {};
    }
    if (key == "label") {
      const auto v = node.value<std::string>();
      if (!v || v->empty() || v->size() > 64) return error(node, "label is a text of 1 to 64 bytes");
      m.label = *v;
      return {};
    }
    if (key == "default") return flag(node, key, m.is_default);
    if (key == "offered") return flag(node, key, offered);
    if (key == "context_tokens") return tokens(node, key, m.context_tokens);
    if (key == "max_output_tokens") return tokens(node, key, m.max_output_tokens);
    if (key == "price_input") return price(node, key, m.price_input);
    if (key == "price_output") return price(node, key, m.price_output);
    if (key == "price_cache_read") return price(node, key, m.price_cache_read);
    if (key == "price_cache_write") return price(node, key, m.price_cache_write);
    return error(node, "unknown key \"" + std::string(key) + "\"");
  }

  Result<void> flag(const toml::node& node, std::string_view key, bool& into) {
    if (!node.is_boolean()) return error(node, std::string(key) + " is true or false");
    into = *node.value<bool>();
    return {};
  }

  Result<void> tokens(const toml::node& node, std::string_view key, std::uint32_t& into) {
    const auto v = node.is_integer() ? node.value<std::int64_t>() : std::nullopt;
    if (!v || *v < 1 || *v > kMaxTokens)
      return error(node, std::string(key) + " is a whole number of tokens above 0");
    into = static_cast<std::uint32_t>(*v);
    return {};
  }

  Result<void> price(const toml::node& node, std::string_view key, std::optional<double>& into) {
    const auto v = node.is_number() ? node.value<double>() : std::nullopt;
    if (!v || !(*v >= 0 && *v <= kMaxPrice))
      return error(node, std::string(key) + " is USD per million tokens");
    into = *v;
    return {};
  }

  tl::unexpected<Error> error(const toml::node& at, const std::string& why) const {
    const auto place = at.source().begin;
    return fail(Code::Malformed, file_ + " line " + std::to_string(place.line) + " column " +
                                     std::to_string(place.column) + ": " + why);
  }

  ModelTable& table_;
  const std::string& file_;
  std::set<std::string> seen_;
  std::set<std::string> defaults_;
};

Result<void> lay_over(ModelTable& table, std::string_view text, const std::string& name) {
  if (text.size() > kMaxFile) return fail(Code::Malformed, name + ": larger than 1 MiB");
  try {
    return Overlay(table, name).apply(toml::parse(text));
  } catch (const toml::parse_error& error) {  // Debian's library is built to throw
    const auto place = error.source().begin;
    return fail(Code::Malformed, name + " line " + std::to_string(place.line) + " column " +
                                     std::to_string(place.column) + ": " + std::string(error.description()));
  }
}

}  // namespace

const Model* ModelTable::find(std::string_view id) const {
  const auto at = std::find_if(models.begin(), models.end(), [&](const Model& m) { return m.id == id; });
  return at == models.end() ? nullptr : &*at;
}

const Model* ModelTable::default_of(std::string_view provider) const {
  const Model* first = nullptr;
  for (const Model& m : models) {
    if (m.provider != provider) continue;
    if (m.is_default) return &m;
    if (first == nullptr) first = &m;
  }
  return first;
}

Result<ModelTable> parse_models(std::string_view toml, const std::string& name) {
  ModelTable table;
  if (auto done = lay_over(table, toml, name); !done) return fail(done.error());
  return table;
}

Result<ModelTable> load_models(const std::string& shipped_path, const std::string& overlay_path) {
  ModelTable table;
  for (const auto& path : {shipped_path, overlay_path}) {
    if (path.empty()) continue;
    auto file = read_small_file(path, kMaxFile);
    if (!file) return fail(file.error());
    if (auto done = lay_over(table, file->text, path); !done) return fail(done.error());
  }
  return table;
}

Result<std::string> shipped_models_path() {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return fail(Code::Internal, "cannot tell where this program lies: " + failed.message());
  const fs::path bin = program.parent_path();
  // Installed (bin/ beside share/), then the source tree (build/bin/ two below it; other build folders
  // alike).
  const std::array candidates{bin / "../share/katana/models.toml", bin / "../../deploy/models.toml"};
  for (const auto& path : candidates) {
    if (access(path.c_str(), R_OK) == 0) return path.lexically_normal().string();
  }
  return fail(Code::Internal, "the table of models is missing: neither " +
                                  candidates[0].lexically_normal().string() + " nor " +
                                  candidates[1].lexically_normal().string() + " can be read");
}

}  // namespace katana::config
