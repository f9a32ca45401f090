#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/telegram/bot_api.hpp"

/// Markdown as models write it (CommonMark, tables, task lists, strikethrough) → what Telegram shows.
namespace katana::gateway::markdown {

/// Text with its formatting, as Telegram takes it: valid UTF-8 without blanks at its ends, entities in UTF-16
/// units, inside the text, sorted, properly nested, at most 100.
struct Formatted {
  std::string text;
  std::vector<telegram::Entity> entities{};
  friend bool operator==(const Formatted&, const Formatted&) = default;
};

/// Any bytes in. Empty when nothing is to be seen.
Formatted render(std::string_view markdown);

/// What a stream hands on: valid UTF-8, no control characters but tab and line feed. Any bytes in.
std::string clean(std::string_view bytes);

}  // namespace katana::gateway::markdown
