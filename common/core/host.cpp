#include "common/core/host.hpp"

#include <algorithm>
#include <string>

#include <arpa/inet.h>

namespace katana {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool is_address(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1;
  return inet_pton(AF_INET, host.c_str(), &v4) == 1;
}

}  // namespace

bool is_loopback(std::string_view host) {
  if (host.size() == 9 && lower(host) == "localhost") return true;
  in_addr address{};
  if (inet_pton(AF_INET, std::string(host).c_str(), &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
  return host == "[::1]" || host == "::1";
}

std::string host_of(std::string_view authority) {
  const auto bracket = authority.find(']');
  const auto colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return lower(authority.substr(0, colon));
}

std::string_view authority_of(std::string_view url) {
  const auto slashes = url.find("://");
  if (slashes == std::string_view::npos) return {};
  url.remove_prefix(slashes + 3);
  return url.substr(0, url.find('/'));
}

bool names_this_machine(std::string_view host_header, std::string_view name) {
  if (host_header.empty()) return true;
  const std::string host = host_of(host_header);
  return is_address(host) || host == "localhost" || (!name.empty() && host == name);
}

}  // namespace katana
