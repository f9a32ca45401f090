#include "watchdog/status/gate.hpp"

#include <algorithm>

#include <arpa/inet.h>

#include "common/core/host.hpp"
#include "common/core/text.hpp"
#include "common/log/log.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"status"};
constexpr std::string_view kBearer = "bearer ";

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string header(const net::ServerRequest& request, std::string_view name) {
  return request.header ? std::string(request.header(name)) : std::string();
}

/// `host` of `host`, `host:port`, `[v6]:port`, in lower case.
std::string without_port(std::string_view authority) {
  const auto bracket = authority.find(']');
  const auto colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return lower(authority.substr(0, colon));
}

/// `host:port` of `scheme://host:port/…`.
std::string_view authority_of(std::string_view url) {
  const auto slashes = url.find("://");
  if (slashes == std::string_view::npos) return {};
  url.remove_prefix(slashes + 3);
  return url.substr(0, url.find('/'));
}

bool is_address(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1;
  return inet_pton(AF_INET, host.c_str(), &v4) == 1;
}

}  // namespace

Gate::Gate(Secret token, const std::string& listen, const std::string& page_url, const std::string& host)
    : token_(std::move(token)),
      open_to_others_(!listen.empty() && !is_loopback(without_port(listen))),
      host_(lower(host)),
      page_host_(without_port(authority_of(page_url))),
      page_origin_(lower(page_url.substr(0, page_url.find("://") + 3)) + lower(authority_of(page_url))) {}

bool Gate::serves(std::string_view host_header) const {
  if (host_header.empty()) return true;
  const std::string host = without_port(host_header);
  return is_address(host) || host == "localhost" || host == host_ || (!host.empty() && host == page_host_);
}

bool Gate::from_us(const net::ServerRequest& request) const {
  const std::string site = header(request, "Sec-Fetch-Site");
  if (!site.empty() && site != "same-origin" && site != "none") return false;
  const std::string origin = lower(header(request, "Origin"));
  if (origin.empty()) return true;
  const std::string host = lower(header(request, "Host"));
  const auto authority = authority_of(origin);
  return (!authority.empty() && authority == host) || (!page_host_.empty() && origin == page_origin_);
}

Gate::Guesses& Gate::guesses(const std::string& peer, Mono now) {
  std::erase_if(guesses_, [now](const auto& entry) { return now - entry.second.since >= kForget; });
  if (guesses_.size() >= kPeers && guesses_.count(peer) == 0)
    guesses_.erase(std::min_element(guesses_.begin(), guesses_.end(), [](const auto& a, const auto& b) {
      return a.second.since < b.second.since;
    }));
  Guesses& g = guesses_[peer];
  if (g.wrong == 0) g.since = now;
  return g;
}

Gate::Pass Gate::check(const net::ServerRequest& request, Mono now) {
  const std::string given = header(request, "Authorization");
  if (given.empty()) return Pass::Missing;
  const std::string_view token = std::string_view(given).substr(std::min(given.size(), kBearer.size()));
  if (lower(given.substr(0, kBearer.size())) == kBearer && token_.matches(text::trim(token))) {
    guesses_.erase(request.peer);
    return Pass::Granted;
  }
  Guesses& guessed = guesses(request.peer, now);
  if (guessed.wrong >= kTries) return Pass::TooMany;
  ++guessed.wrong;
  kLog.warn("a wrong token for the status page from {}{}", request.peer.empty() ? "?" : request.peer,
            guessed.wrong == kTries ? "; more of them within a minute aren't logged" : "");
  return Pass::Wrong;
}

}  // namespace katana::watchdog
