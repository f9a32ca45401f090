#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace katana::watchdog {

inline constexpr std::size_t kForeignLine = 300;  ///< UTF-16 units of foreign text in a notice

/// What another process or program said, as one line that a notice may hold.
std::string line_of(std::string_view foreign);

/// The key of the incident that a process is down or hangs.
std::string process_key(const std::string& instance);

}  // namespace katana::watchdog
