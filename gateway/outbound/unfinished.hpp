#pragma once

#include <string>
#include <string_view>

namespace katana::gateway::markdown {

/// A piece of Markdown that stops in the middle, made fit to be shown.
struct Whole {
  std::string source;   ///< the piece, with what was left open closed or taken out
  std::string openers;  ///< what a following piece must begin with so that open emphasis goes on in it: `**`
};

/// Closes emphasis and inline code, takes out the begun half of a link (`[text](htt` → `text`), and with
/// `growing` also a last line that is only the beginning of something (`-`, `##`, a fence's first backticks):
/// it would be taken for a heading's underline or for text, and flicker. Pure; clean text in (see `clean`).
Whole make_whole(std::string_view piece, bool growing);

}  // namespace katana::gateway::markdown
