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

std::optional<Mono> KeyRing::back_at() const {
  std::optional<Mono> first;
  for (const Key& key : keys_) {
    if (!key.refused && (!first || key.rests_until < *first)) first = key.rests_until;
  }
  return first;
}

bool KeyRing::rest(std::size_t key, Mono now, Mono until, Why why) {
  Key& resting = keys_[key % keys_.size()];
  resting.rests_until = std::max(resting.rests_until, until);
  resting.refused = why == Why::Refused;
  return std::any_of(keys_.begin(), keys_.end(), [&](const Key& k) { return k.rests_until <= now; });
}

}  // namespace katana::workers
