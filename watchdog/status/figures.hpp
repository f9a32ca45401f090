#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>

namespace katana::watchdog {

/// A histogram as Prometheus text gives it: upper bound -> observations up to it, `+Inf` (infinity) included.
using Buckets = std::map<double, double>;

/// What the page plots of one process's metrics text. A family that the text doesn't have is unset: the
/// process counts no such thing, which is not 0.
struct Figures {
  enum Counter { Questions, Errors, Tokens, Usd, kCounters };
  enum Timing { FirstText, Answer, kTimings };
  std::array<std::optional<double>, kCounters> counters{};
  std::array<Buckets, kTimings> timings{};
  /// What may be spent a day; unset: no such budget. Of the text itself, not of a difference.
  std::optional<double> day_tokens{}, day_usd{};
};

/// One pass over Prometheus text, sums over the labels. What isn't of the format is passed over.
Figures read_figures(std::string_view text);

/// What came between two readings of one process; unset where either has none, or where it fell (a process
/// counts upwards only: it is another one).
Figures between(const Figures& before, const Figures& after);

/// Adds `more` to `sum`: of another process, or of the next while.
void add(Buckets& sum, const Buckets& more);

/// The value that `share` (0.5, 0.99) of the observations stay below, straight between the bounds of its
/// bucket; beyond the last finite bound that bound. Unset without observations.
std::optional<double> percentile(const Buckets& buckets, double share);

}  // namespace katana::watchdog
