#pragma once

#include <string>
#include <string_view>

namespace katana {

/// A host as it stands in a URL (`[::1]`) or bare (`::1`) that is certainly this machine: what goes there may
/// go without TLS. Names other than `localhost` are not: whoever answers for them decides where they lead.
bool is_loopback(std::string_view host);

/// `host` of an authority as it stands in a URL or a Host header (`host`, `host:port`, `[v6]:port`), in lower
/// case.
std::string host_of(std::string_view authority);

/// `host:port` of `scheme://host:port/…`; empty if it is no URL.
std::string_view authority_of(std::string_view url);

/// Whether a Host header means this machine, whose name is `name` (in lower case): an address, `localhost`,
/// or that name. A page of another site that had its own name lead here (DNS rebinding) sends another one;
/// without a header it isn't a browser's request.
bool names_this_machine(std::string_view host_header, std::string_view name);

}  // namespace katana
