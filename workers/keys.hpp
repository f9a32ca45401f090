#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/secret.hpp"

namespace katana::workers {

/// A provider's keys, one in use at a time: prompts are cached by account, so that changing for its own sake
/// would cost money. A key that was refused or is used up rests, and the next one takes over. Pure; owned by
/// the worker.
class KeyRing {
 public:
  /// A key's index stays usable when the ring was filled anew; it may then mean another key.
  ///
  /// None: one empty key, for a server that asks for none.
  explicit KeyRing(std::vector<Secret> keys);

  /// The key in use; when all rest, the one that is back first.
  std::size_t pick(Mono now);
  [[nodiscard]] const Secret& at(std::size_t key) const { return keys_[key % keys_.size()].secret; }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  enum class Why { Limited, Refused };
  /// `key` rests until then. True when another one is fit for use.
  bool rest(std::size_t key, Mono now, Mono until, Why why);
  /// When the first of those that were not refused is fit for use; none: all were.
  [[nodiscard]] std::optional<Mono> back_at() const;

 private:
  struct Key {
    Secret secret;
    Mono rests_until{};
    bool refused = false;  ///< when it was asked last
  };
  std::vector<Key> keys_;
  std::size_t current_ = 0;
};

}  // namespace katana::workers
