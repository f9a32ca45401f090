#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// The line that a person is typing, fed with what the keyboard sends. Append, erase a character (Backspace),
/// a word (Ctrl-W) or all (Ctrl-U); Ctrl-C, and Ctrl-D on an empty line, end it. Arrows and the like are
/// ignored.
class LineEditor {
 public:
  static constexpr std::size_t kLongest = 16'384;  ///< bytes; 4096 UTF-16 units always fit

  /// The lines that were completed by `bytes`.
  std::vector<std::string> feed(std::string_view bytes);
  const std::string& text() const { return text_; }
  bool ended() const { return ended_; }

 private:
  enum class Escape { None, Begun, Sequence, Letter };
  bool skip_escape(char c);
  void erase_character();
  void erase_word();

  std::string text_;
  Escape escape_ = Escape::None;
  bool ended_ = false;
};

}  // namespace sandbox
