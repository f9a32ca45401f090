#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// Formatting of a stretch of text, counted in UTF-16 code units as Telegram does.
struct Span {
  std::string type;
  std::int64_t offset = 0;
  std::int64_t length = 0;
  std::string url;
};

/// How a terminal shows text: `columns` 0 never wraps.
struct Look {
  std::size_t columns = 0;
  bool color = false;
};

enum Style : std::uint8_t { kBold = 1, kDim = 2, kItalic = 4, kUnderline = 8, kReverse = 16, kStrike = 32 };

/// Columns that a character takes: 0 combining, 2 wide.
int columns_of(char32_t character);
std::size_t columns_of(std::string_view text);

/// Text as lines for a terminal, wrapped at words, each line whole in itself (its formatting ends with it).
/// Nothing in `text` can steer the terminal: control characters become U+FFFD.
std::vector<std::string> ansi_lines(std::string_view text, const std::vector<Span>& spans, const Look& look);

/// One piece of our own text in one style.
std::string styled(std::string_view text, std::uint8_t style, const Look& look);

}  // namespace sandbox
