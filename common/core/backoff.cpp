#include "common/core/backoff.hpp"

#include <algorithm>

namespace katana {

Millis Backoff::next(std::uint64_t random) {
  const int shift = std::min(tries_, 30);
  ++tries_;
  const std::int64_t full = std::min<std::int64_t>(cap_.count(), base_.count() << shift);
  const std::int64_t quarter = full / 4;
  if (quarter == 0) return Millis{full};
  return Millis{full - static_cast<std::int64_t>(random % static_cast<std::uint64_t>(quarter + 1))};
}

}  // namespace katana
