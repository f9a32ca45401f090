#include <algorithm>

#include <arpa/inet.h>

#include "common/config/scan.hpp"
#include "common/config/values.hpp"

namespace katana::config {
namespace {

using namespace scan;

bool is_port(std::string_view text, int least) {
  const auto port = number<int>(text);
  return port && *port >= least && *port <= 65535;
}

/// `host:port` or `[v6]:port` in two.
std::optional<std::pair<std::string_view, std::string_view>> host_and_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const auto host = text.substr(0, colon);
  const bool v6 = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (!v6 && host.find(':') != std::string_view::npos) return std::nullopt;
  if (!all_of(v6 ? host.substr(1, host.size() - 2) : host, v6 ? ":.%" : ".-_*")) return std::nullopt;
  return std::pair{host, text.substr(colon + 1)};
}

/// An IPv4 address, an IPv6 one in brackets, or this machine's own name for itself.
bool is_literal(std::string_view host) {
  if (host == "localhost") return true;
  in6_addr address{};
  const bool v6 = host.front() == '[';
  const std::string plain(v6 ? host.substr(1, host.size() - 2) : host);
  return inet_pton(v6 ? AF_INET6 : AF_INET, plain.c_str(), &address) == 1;
}

}  // namespace

Result<std::string> parse_listen_address(std::string_view text) {
  if (lower(text) == "off") return std::string();
  const auto parts = host_and_port(text);
  if (!parts || !is_port(parts->second, 0)) {
    return bad(shown(text) + " is no address; write host:port such as 127.0.0.1:9710, or off");
  }
  if (!is_literal(parts->first)) {  // a name would have to be looked up, and may be anybody's tomorrow
    return bad(shown(text) +
               ": a name isn't listened on; write the address, such as 127.0.0.1:9710 or 0.0.0.0:9710");
  }
  return std::string(text);
}

Result<std::string> parse_endpoint(std::string_view text) {
  constexpr std::string_view kIpc = "ipc://";
  constexpr std::string_view kTcp = "tcp://";
  constexpr std::size_t kLongestSocketPath = 107;  // sockaddr_un::sun_path without its closing zero
  if (text.starts_with(kIpc)) {
    const auto path = text.substr(kIpc.size());
    if (!path.starts_with('/'))
      return bad("the path after ipc:// must begin with /, such as ipc:///run/katana/jobs.ipc");
    if (path.size() > kLongestSocketPath) {
      return bad("the socket's path has " + std::to_string(path.size()) +
                 " bytes and the system allows 107; choose a shorter directory (KATANA_RUN_DIR)");
    }
    return std::string(text);
  }
  if (text.starts_with(kTcp)) {
    const auto parts = host_and_port(text.substr(kTcp.size()));
    if (parts && is_port(parts->second, 1)) return std::string(text);
  }
  return bad("not an endpoint; write ipc:///path or tcp://host:port");
}

Result<Url> parse_url(std::string_view text) {
  if (!printable(text) || text.size() > 2048)
    return bad("not a URL (blanks or control characters in it, or too long)");
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0)
    return bad("not a URL; write it such as https://host/path");
  Url out;
  out.scheme = lower(text.substr(0, colon));
  text.remove_prefix(colon + 3);
  const auto end = std::min(text.find_first_of("/?#"), text.size());
  const auto authority = text.substr(0, end);
  out.rest = std::string(text.substr(end));
  if (authority.find('@') != std::string_view::npos) return bad("no user or password may stand in this URL");
  const auto parts = host_and_port(authority);
  if (parts) {
    if (!is_port(parts->second, 1)) return bad("the URL's port is no number from 1 to 65535");
    out.host = lower(parts->first);
    out.port = std::string(parts->second);
  } else {
    const bool v6 = authority.size() > 2 && authority.front() == '[' && authority.back() == ']';
    if (authority.empty() || (!v6 && !all_of(authority, ".-_"))) return bad("the URL names no host");
    out.host = lower(authority);
  }
  return out;
}

Result<std::string> parse_base_url(std::string_view text) {
  auto url = parse_url(text);
  if (!url) return fail(url.error());
  if (url->scheme != "https" && url->scheme != "http")
    return bad("the URL must begin with https:// (or http://)");
  if (url->rest.find_first_of("?#") != std::string::npos) return bad("no ? or # may stand in this URL");
  while (text.ends_with('/'))
    text.remove_suffix(1);
  return std::string(text);
}

Result<std::string> parse_smtp_url(std::string_view text) {
  auto url = parse_url(text);
  if (!url) {
    return bad(url.error().detail +
               "; write smtp://host:587 or smtps://host:465 (user and password go in SMTP_USER "
               "and SMTP_PASSWORD)");
  }
  if ((url->scheme != "smtp" && url->scheme != "smtps") || (!url->rest.empty() && url->rest != "/")) {
    return bad("write smtp://host:587 (STARTTLS) or smtps://host:465");
  }
  return std::string(text).replace(0, url->scheme.size(), url->scheme);  // the scheme in small letters
}

Result<std::string> parse_proxy(std::string_view text) {
  const auto wrong = [] { return bad("not a proxy; write http://host:port or socks5h://host:port"); };
  if (!printable(text) || text.size() > 2048) return wrong();
  const auto scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return wrong();
  const auto scheme = lower(text.substr(0, scheme_end));
  auto authority = text.substr(scheme_end + 3);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  const auto at = authority.rfind('@');
  if (at != std::string_view::npos) authority.remove_prefix(at + 1);
  const auto parts = host_and_port(authority);
  if ((scheme != "http" && scheme != "socks5h") || !parts || !is_port(parts->second, 1)) return wrong();
  return std::string(text);
}

}  // namespace katana::config
