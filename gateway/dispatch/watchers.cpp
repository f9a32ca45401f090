#include "gateway/dispatch/watchers.hpp"

#include <utility>
#include <variant>

namespace katana::gateway {

bool Watchers::take(const bus::PeerId& peer, const bus::Message& message, Mono now) {
  if (const auto* hello = std::get_if<bus::Hello>(&message)) {
    if (hello->role != bus::Role::Watchdog) return false;
    // The same process on a fresh connection.
    std::erase_if(peers_, [&](const auto& p) { return p.second.id == hello->worker_id; });
    peers_[peer] = {hello->worker_id, now};
    return true;
  }
  const auto it = peers_.find(peer);
  if (it == peers_.end()) return false;
  it->second.heard = now;
  if (std::holds_alternative<bus::Goodbye>(message)) {
    peers_.erase(it);
    left(now, true);
  }
  return true;
}

void Watchers::left(Mono when, bool goodbye) {
  if (!peers_.empty() || absent_since_) return;
  absent_since_ = when;
  goodbye_ = goodbye;
  patience_ = goodbye ? kGoodbyeFor : kGoneAfter;
}

std::optional<Watchers::News> Watchers::tick(Mono now) {
  const bool late = now - std::exchange(last_tick_, now) >= kLateTick;
  if (late) {
    // We were asleep, and perhaps the whole machine: everybody gets a fresh start.
    for (auto& [peer, watcher] : peers_)
      watcher.heard = now;
    return std::nullopt;
  }
  for (auto it = peers_.begin(); it != peers_.end();) {
    const Mono heard = it->second.heard;
    if (now - heard < kGoneAfter) {
      ++it;
      continue;
    }
    it = peers_.erase(it);
    left(heard, false);
  }
  if (!absent_since_) return std::nullopt;
  const auto lasted = std::chrono::duration_cast<Millis>(now - *absent_since_);
  if (!peers_.empty()) {
    absent_since_.reset();
    if (!std::exchange(told_, false)) return std::nullopt;
    return News{.gone = false, .lasted = lasted, .goodbye = goodbye_};
  }
  if (told_ || lasted < patience_) return std::nullopt;
  told_ = true;
  return News{.gone = true, .lasted = lasted, .goodbye = goodbye_};
}

}  // namespace katana::gateway
