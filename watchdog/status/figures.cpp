#include "watchdog/status/figures.hpp"

#include <charconv>
#include <cmath>
#include <limits>

namespace katana::watchdog {
namespace {

constexpr std::string_view kPrefix = "katana_";
constexpr std::string_view kBucket = "_bucket";

std::optional<double> number(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  double out = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (bad != std::errc{} || end != text.data() + text.size() || !std::isfinite(out)) return std::nullopt;
  return out;
}

/// The value of a label in `{…}`. Our own labels hold no quotes.
std::string_view label(std::string_view labels, std::string_view name) {
  for (auto at = labels.find(name); at != std::string_view::npos; at = labels.find(name, at + 1)) {
    const bool whole = at > 0 && (labels[at - 1] == '{' || labels[at - 1] == ',');
    const std::string_view rest = labels.substr(at + name.size());
    if (!whole || !rest.starts_with("=\"")) continue;
    return rest.substr(2, rest.find('"', 2) - 2);
  }
  return {};
}

void add(std::optional<double>& sum, double value) {
  sum = sum.value_or(0) + value;
}

/// `name` is without its prefix.
void take(Figures& f, std::string_view name, std::string_view labels, double value) {
  if (name == "questions_total") return add(f.counters[Figures::Questions], value);
  if (name == "spend_usd_total") return add(f.counters[Figures::Usd], value);
  if (name == "job_failures_total") {
    // What somebody stopped is no error of the provider's.
    return add(f.counters[Figures::Errors], label(labels, "code") == "cancelled" ? 0 : value);
  }
  if (name == "tokens_total") {  // the cache's are among the input
    const auto kind = label(labels, "kind");
    return add(f.counters[Figures::Tokens], kind == "input" || kind == "output" ? value : 0);
  }
  if (name == "budget_tokens" && label(labels, "window") == "day") f.day_tokens = value;
  if (name == "budget_usd" && label(labels, "window") == "day") f.day_usd = value;
  if (!name.ends_with(kBucket)) return;
  name.remove_suffix(kBucket.size());
  const auto bound = number(label(labels, "le"));
  if (!bound) return;
  if (name == "first_text_seconds") f.timings[Figures::FirstText][*bound] += value;
  if (name == "answer_seconds") f.timings[Figures::Answer][*bound] += value;
}

void take_line(Figures& f, std::string_view line) {
  if (!line.starts_with(kPrefix)) return;
  line.remove_prefix(kPrefix.size());
  const auto space = line.rfind(' ');
  if (space == std::string_view::npos) return;
  const auto value = number(line.substr(space + 1));
  if (!value || *value < 0 || !std::isfinite(*value)) return;
  const auto name = line.substr(0, std::min(line.find('{'), space));
  take(f, name, line.substr(name.size(), space - name.size()), *value);
}

/// Unset (empty) if one of them fell, or their bounds differ.
Buckets between(const Buckets& before, const Buckets& after) {
  if (before.size() != after.size()) return {};
  Buckets out;
  auto old = before.begin();
  for (const auto& [bound, count] : after) {
    if (old->first != bound || count < old->second) return {};
    out[bound] = count - old->second;
    ++old;
  }
  return out;
}

}  // namespace

Figures read_figures(std::string_view text) {
  Figures out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    take_line(out, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

Figures between(const Figures& before, const Figures& after) {
  Figures out;
  for (std::size_t i = 0; i < Figures::kCounters; ++i) {
    const auto &old = before.counters[i], &now = after.counters[i];
    if (old && now && *now >= *old) out.counters[i] = *now - *old;
  }
  for (std::size_t i = 0; i < Figures::kTimings; ++i)
    out.timings[i] = between(before.timings[i], after.timings[i]);
  return out;
}

void add(Buckets& sum, const Buckets& more) {
  for (const auto& [bound, count] : more)
    sum[bound] += count;
}

std::optional<double> percentile(const Buckets& buckets, double share) {
  if (buckets.empty()) return std::nullopt;
  const double all = buckets.rbegin()->second;
  if (!(all > 0)) return std::nullopt;
  const double rank = share * all;
  double below = 0, from = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= rank && count > below) {
      if (!std::isfinite(bound)) return from;
      return from + (bound - from) * (rank - below) / (count - below);
    }
    below = count;
    if (std::isfinite(bound)) from = bound;
  }
  return from;
}

}  // namespace katana::watchdog
