#pragma once

#include <string_view>

namespace katana {

/// A host as it stands in a URL (`[::1]`) or bare (`::1`) that is certainly this machine: what goes there may
/// go without TLS. Names other than `localhost` are not: whoever answers for them decides where they lead.
bool is_loopback(std::string_view host);

}  // namespace katana
