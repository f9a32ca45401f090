#pragma once

#include <string>
#include <string_view>

namespace katana::gateway::markdown {

/// `&amp;` → `&`, `&#x2192;` → `→`: valid UTF-8 in any case. `s` is a whole reference as md4c finds it, from
/// `&` to `;`. Names beyond the usual ones stay as they are written.
std::string decode_reference(std::string_view s);

}  // namespace katana::gateway::markdown
