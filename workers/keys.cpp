#include "workers/keys.hpp"

#include <algorithm>
#include <utility>

namespace katana::workers {

KeyRing::KeyRing(std::vector<Secret> keys) {
  if (keys.empty()) keys.emplace_back();
  for (Secret& secret : keys)
    keys_.push_back({std::move(secret), {}});
}

std::size_t KeyRing::pick(Mono now) {
  for (std::size_t step = 0; step < keys_.size(); ++step) {
    const std::size_t key = (current_ + step) % keys_.size();
    if (keys_[key].rests_until <= now) return current_ = key;
  }
  const auto first_back = std::min_element(
      keys_.begin(), keys_.end(), [](const Key& a, const Key& b) { return a.rests_until < b.rests_until; });
  return static_cast<std::size_t>(first_back - keys_.begin());
}

bool KeyRing::rest(std::size_t key, Mono now, Mono until) {
  Mono& rests_until = keys_[key % keys_.size()].rests_until;
  rests_until = std::max(rests_until, until);
  return std::any_of(keys_.begin(), keys_.end(), [&](const Key& k) { return k.rests_until <= now; });
}

}  // namespace katana::workers
