#include "workers/link.hpp"

#include <algorithm>

namespace katana::workers {

Link::Need Link::need(Mono now, bool late) const {
  if (!said_hello_) return Need::Hello;
  if (!late && now - std::max(heard_, connected_) >= kGone) return Need::Reconnect;
  return !joined_ && now - *said_hello_ >= kWelcomeWithin ? Need::Hello : Need::Nothing;
}

void Link::forget() {
  said_hello_.reset();
  joined_ = false;
  credit.reset();
}

void Link::reconnect(Mono now) {
  client_->reconnect();
  connected_ = now;
  forget();
}

void Link::welcome(std::string gateway_id) {
  gateway_id_ = std::move(gateway_id);
  joined_ = true;
  credit.reset();
}

}  // namespace katana::workers
