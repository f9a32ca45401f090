#include "common/core/host.hpp"

#include <algorithm>
#include <string>

#include <arpa/inet.h>

namespace katana {

bool is_loopback(std::string_view host) {
  if (host.size() == 9) {
    std::string name(host);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (name == "localhost") return true;
  }
  in_addr address{};
  if (inet_pton(AF_INET, std::string(host).c_str(), &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
  return host == "[::1]" || host == "::1";
}

}  // namespace katana
