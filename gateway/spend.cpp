#include "gateway/spend.hpp"

#include <algorithm>

namespace katana::gateway {

std::optional<double> cost_of(const config::Model* model, const bus::Usage& usage) {
  if (model == nullptr || !model->price_input || !model->price_output) return std::nullopt;
  const auto cached = usage.cache_read_tokens + usage.cache_write_tokens;
  const auto fresh = usage.input_tokens - std::min(usage.input_tokens, cached);
  const double per_million =
      static_cast<double>(fresh) * *model->price_input +
      static_cast<double>(usage.output_tokens) * *model->price_output +
      static_cast<double>(usage.cache_read_tokens) * model->price_cache_read.value_or(*model->price_input) +
      static_cast<double>(usage.cache_write_tokens) * model->price_cache_write.value_or(*model->price_input);
  return per_million / 1e6;
}

Spend::Series& Spend::series(const std::string& provider, const config::Model* model) {
  const auto [at, fresh] = series_.try_emplace(model != nullptr ? model->id : provider + ":");
  Series& s = at->second;
  const std::string name = model != nullptr ? model->id : "other";
  if (fresh) {
    const auto tokens = [&](const char* kind) {
      return metrics_.counter("katana_tokens_total",
                              "Tokens booked, by provider, model and kind; the cache's are among the input.",
                              {{"provider", provider}, {"model", name}, {"kind", kind}});
    };
    s.input = tokens("input");
    s.output = tokens("output");
    s.cache_read = tokens("cache_read");
    s.cache_write = tokens("cache_write");
  }
  if (!s.usd && cost_of(model, {})) {
    s.usd = metrics_.counter("katana_spend_usd_total",
                             "US dollars booked, of the models that the table has a price for.",
                             {{"provider", provider}, {"model", name}});
  }
  return s;
}

void Spend::offer(const config::ModelTable& models) {
  for (const config::Model& model : models.models)
    series(model.provider, &model);
}

void Spend::allow(const char* window, const std::optional<config::Budget>& budget) {
  if (!budget) return;
  const auto amount = static_cast<double>(budget->amount);
  if (budget->unit == config::Budget::Unit::Tokens)
    metrics_
        .gauge("katana_budget_tokens", "Tokens that all together may spend in a window.",
               {{"window", window}})
        .set(amount);
  else
    metrics_
        .gauge("katana_budget_usd", "US dollars that all together may spend in a window.",
               {{"window", window}})
        .set(amount / 1e6);
}

void Spend::add(const std::string& provider, const config::Model* model, const bus::Usage& usage) {
  if (usage == bus::Usage{}) return;
  Series& s = series(provider, model);
  s.input.add(static_cast<double>(usage.input_tokens));
  s.output.add(static_cast<double>(usage.output_tokens));
  s.cache_read.add(static_cast<double>(usage.cache_read_tokens));
  s.cache_write.add(static_cast<double>(usage.cache_write_tokens));
  if (const auto cost = cost_of(model, usage)) s.usd->add(*cost);
}

}  // namespace katana::gateway
