#include "workers/link.hpp"

#include <algorithm>

namespace katana::workers {

Link::Need Link::need(Mono now, bool late) const {
  if (!said_hello_) return Need::Hello;
  if (late) return Need::Nothing;
  const auto silence = now - std::max(heard_, connected_);
  if (silence >= kGone) return Need::Reconnect;
  return joined_ && silence >= kQuiet ? Need::Hello : Need::Nothing;
}

void Link::reconnect(Mono now) {
  client_->reconnect();
  connected_ = now;
  said_hello_ = joined_ = false;
  credit.reset();
}

void Link::welcome(std::string gateway_id) {
  gateway_id_ = std::move(gateway_id);
  joined_ = true;
  credit.reset();
}

}  // namespace katana::workers
