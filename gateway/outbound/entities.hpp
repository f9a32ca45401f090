#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/telegram/bot_api.hpp"

namespace katana::gateway::markdown {

enum class Style { Quote, Link, Bold, Italic, Strike, Code, Pre };

/// A piece of formatting while the text is being built: bytes [begin, end) of it.
struct Mark {
  Style style = Style::Bold;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string detail{};  ///< a link's URL, a code block's language
};

/// Telegram's limit for one message.
inline constexpr std::size_t kMaxEntities = 100;

/// Makes of any marks on valid UTF-8 what Telegram takes: without blanks at their ends, nothing inside code
/// (styles are cut around it), sorted, at most 100 (bold and italic go first), in UTF-16 units.
std::vector<telegram::Entity> entities_of(std::string_view text, std::vector<Mark> marks);

}  // namespace katana::gateway::markdown
