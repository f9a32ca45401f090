#include "common/net/certificates.hpp"

#include <algorithm>

namespace katana::net {

void Certificates::saw(const std::string& endpoint, Wall expires, Mono now) {
  if (seen_.size() >= kMost && !seen_.contains(endpoint)) {
    seen_.erase(std::min_element(seen_.begin(), seen_.end(),
                                 [](const auto& a, const auto& b) { return a.second.at < b.second.at; }));
  }
  seen_[endpoint] = {expires, now};
}

std::optional<Certificate> Certificates::earliest(Mono now) const {
  std::optional<Certificate> first;
  for (const auto& [endpoint, seen] : seen_) {
    if (now - seen.at > kKept || (first && first->expires <= seen.expires)) continue;
    first = Certificate{endpoint, seen.expires};
  }
  return first;
}

}  // namespace katana::net
