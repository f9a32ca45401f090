#pragma once

#include <optional>
#include <string_view>

#include "common/core/clock.hpp"

/// Dates as servers write them, from 1970 to 2200; anything else is nothing.
namespace katana {

/// `Wed, 21 Oct 2026 07:28:00 GMT`: RFC 9110, IMF-fixdate.
std::optional<Wall> parse_http_date(std::string_view text);
/// `2026-10-21T07:28:00Z`, with a fraction or an offset if need be.
std::optional<Wall> parse_rfc3339(std::string_view text);

}  // namespace katana
