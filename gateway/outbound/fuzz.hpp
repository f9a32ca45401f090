#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "gateway/outbound/markdown.hpp"

/// Entry points for tests/fuzz and the property tests: each takes any bytes and says what is wrong with what
/// came out (empty: nothing). They never crash; that is the point.
namespace katana::gateway::fuzz {

/// What Telegram demands of a text with entities, and we of ourselves.
std::string flaw_of(const markdown::Formatted& formatted, std::size_t max_units);

/// Renders the bytes whole, and as if they were still coming.
std::string check_markdown(const std::uint8_t* data, std::size_t size);

/// Composes the bytes in slices (their lengths are taken from the bytes too): parts are legal, don't depend
/// on the slices, and those before the last never change.
std::string check_composer(const std::uint8_t* data, std::size_t size);

}  // namespace katana::gateway::fuzz
