#include "line_editor.hpp"

namespace sandbox {

std::vector<std::string> LineEditor::feed(std::string_view bytes) {
  std::vector<std::string> lines;
  for (const char c : bytes) {
    if (ended_) break;
    if (skip_escape(c)) continue;
    switch (c) {
      case '\r':
      case '\n':
        lines.push_back(std::move(text_));
        text_.clear();
        break;
      case '\x03':
        ended_ = true;
        break;
      case '\x04':
        ended_ = text_.empty();
        break;
      case '\x08':
      case '\x7f':
        erase_character();
        break;
      case '\x15':
        text_.clear();
        break;
      case '\x17':
        erase_word();
        break;
      default:
        if ((c == '\t' || static_cast<unsigned char>(c) >= 0x20) && text_.size() < kLongest) text_ += c;
    }
  }
  return lines;
}

/// Keys without a character send ESC [ … letter or ESC O letter. True: `c` belongs to one.
bool LineEditor::skip_escape(char c) {
  switch (escape_) {
    case Escape::None:
      if (c == '\x1b') escape_ = Escape::Begun;
      return c == '\x1b';
    case Escape::Begun:
      escape_ = c == '[' ? Escape::Sequence : c == 'O' ? Escape::Letter : Escape::None;
      return escape_ != Escape::None;
    case Escape::Sequence:
      if (c >= 0x40 && c <= 0x7E) escape_ = Escape::None;
      return true;
    case Escape::Letter:
      escape_ = Escape::None;
      return true;
  }
  return false;
}

void LineEditor::erase_character() {
  while (!text_.empty() && (text_.back() & 0xC0) == 0x80)
    text_.pop_back();
  if (!text_.empty()) text_.pop_back();
}

void LineEditor::erase_word() {
  while (!text_.empty() && text_.back() == ' ')
    text_.pop_back();
  while (!text_.empty() && text_.back() != ' ')
    text_.pop_back();
}

}  // namespace sandbox
