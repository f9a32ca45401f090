#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/bus/message.hpp"
#include "common/config/models.hpp"
#include "common/config/settings.hpp"
#include "common/service/metrics.hpp"

namespace katana::gateway {

/// In USD; nothing where no price is known for sure. `model` may be null: it isn't in the table.
std::optional<double> cost_of(const config::Model* model, const bus::Usage& usage);

/// What answers cost, for the metrics: tokens by provider, model and kind, and USD where the table of models
/// has a price. A model that isn't in the table is counted as `other`. Loop thread only.
class Spend {
 public:
  explicit Spend(service::Metrics& metrics) : metrics_(metrics) {}

  /// The models that may be asked for: their series stand at 0 from now on. Again after a new table.
  void offer(const config::ModelTable& models);
  /// What all together may spend in that window (`day`, `month`); nothing where there is no such budget.
  void allow(const char* window, const std::optional<config::Budget>& budget);
  /// An attempt's end was taken. `model`: its row in the table, or null.
  void add(const std::string& provider, const config::Model* model, const bus::Usage& usage);

 private:
  struct Series {
    service::Counter input, output, cache_read, cache_write;
    std::optional<service::Counter> usd;
  };
  Series& series(const std::string& provider, const config::Model* model);

  service::Metrics& metrics_;
  std::unordered_map<std::string, Series> series_;  ///< by model, or provider and a colon
};

}  // namespace katana::gateway
