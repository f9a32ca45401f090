#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace katana::text {

/// Telegram counts text lengths and entity offsets in UTF-16 code units; our strings are UTF-8.
/// These functions expect valid UTF-8 (see `sanitize`) unless they say otherwise.

/// UTF-16 code units of `utf8`: a code point above U+FFFF counts 2.
std::size_t utf16_length(std::string_view utf8);

/// The longest prefix (in bytes) of `utf8` that holds at most `units` UTF-16 code units and splits no code
/// point.
std::size_t prefix_of_utf16(std::string_view utf8, std::size_t units);

bool is_valid_utf8(std::string_view bytes);

/// Valid UTF-8 in any case: every byte that isn't part of a well-formed sequence becomes U+FFFD. Any input.
std::string sanitize(std::string_view bytes);

/// The bytes at the end of `bytes` (0–3) that begin a code point whose rest has not come yet. Any input.
std::size_t incomplete_tail(std::string_view bytes);

/// At most `units` UTF-16 units, with `…` in the place of what was cut: for log lines.
std::string shorten(std::string_view utf8, std::size_t units);

/// One line for a log: control characters and line breaks become spaces.
std::string one_line(std::string_view utf8);

std::string_view trim(std::string_view s);

}  // namespace katana::text
