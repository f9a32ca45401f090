#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// How Markdown's lines hang together, as far as one must know it to cut an answer in pieces: md4c knows
/// more, but only of whole documents. Where the two disagree, a cut is less well placed; nothing else depends
/// on it.
namespace katana::gateway::markdown {

[[nodiscard]] bool is_blank(std::string_view line);
/// `|---|:--:|`: what makes the line above it a table's head.
[[nodiscard]] bool is_table_rule(std::string_view line);
/// Bytes before the text of a list item, a heading or a quote (`  - `, `## `, `> 1. `); 0: the line has no
/// such mark.
[[nodiscard]] std::size_t block_mark(std::string_view line);

/// Follows fenced code blocks line by line, those in lists and quotes too.
class Fences {
 public:
  /// The next line, without its line break.
  void feed(std::string_view line);
  [[nodiscard]] bool inside() const { return length_ > 0; }
  /// Inside, when the text is cut here: a line (with its line break) that opens the block again at the start
  /// of the next piece. From now on this follows the next piece, which is a document of its own: the list
  /// around it is left behind.
  [[nodiscard]] std::string reopen();
  /// Inside: true for a line that is, or may become, the end of the block.
  [[nodiscard]] bool may_close(std::string_view line) const;

 private:
  void outside(std::string_view line);
  [[nodiscard]] bool left_container(std::string_view line) const;

  char mark_ = '`';
  std::size_t length_ = 0;  ///< of the opening fence; 0: outside
  bool quoted_ = false;
  std::size_t column_ = 0;  ///< text column of the list item that the block belongs to
  std::size_t indent_ = 0;  ///< column of the opening fence: that much is stripped from the code
  std::string language_;
  std::vector<std::size_t> columns_;  ///< text columns of the list items that are open
};

}  // namespace katana::gateway::markdown
