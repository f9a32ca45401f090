#include "gateway/outbound/blocks.hpp"

#include <algorithm>

#include "common/core/text.hpp"

namespace katana::gateway::markdown {
namespace {

constexpr std::size_t kMaxLanguage = 32;
constexpr std::size_t kMaxFence = 32;
constexpr std::size_t kMaxColumn = 32;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Column of the first character that isn't blank (a tab goes to the next multiple of 4), and its place.
struct Indent {
  std::size_t column = 0;
  std::size_t bytes = 0;
};
Indent indent_of(std::string_view line) {
  Indent in;
  for (; in.bytes < line.size(); ++in.bytes) {
    if (line[in.bytes] == ' ')
      ++in.column;
    else if (line[in.bytes] == '\t')
      in.column += 4 - in.column % 4;
    else
      break;
  }
  return in;
}

/// Bytes of `- ` or `12. ` at the start of `s`; 0: none.
std::size_t list_mark(std::string_view s) {
  std::size_t n = 0;
  if (!s.empty() && (s[0] == '-' || s[0] == '*' || s[0] == '+')) {
    n = 1;
  } else {
    while (n < s.size() && n < 9 && is_digit(s[n]))
      ++n;
    if (n == 0 || n == s.size() || (s[n] != '.' && s[n] != ')')) return 0;
    ++n;
  }
  if (n == s.size()) return n;
  return s[n] == ' ' || s[n] == '\t' ? n + 1 : 0;
}

std::size_t run_of(std::string_view s, char c) {
  const auto end = s.find_first_not_of(c);
  return end == std::string_view::npos ? s.size() : end;
}

std::string language_of(std::string_view info) {
  info = text::trim(info);
  std::string language;
  for (const char c : info) {
    const bool fits = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
                      c == '#' || c == '-' || c == '_' || c == '.';
    if (!fits || language.size() == kMaxLanguage) break;
    language += c;
  }
  return language;
}

}  // namespace

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

bool is_table_rule(std::string_view line) {
  return line.find('-') != std::string_view::npos && line.find('|') != std::string_view::npos &&
         line.find_first_not_of(" \t|:->") == std::string_view::npos;
}

std::size_t block_mark(std::string_view line) {
  std::size_t at = 0;
  bool found = false;
  while (true) {
    const std::size_t from = at + indent_of(line.substr(at)).bytes;
    const std::string_view rest = line.substr(from);
    if (rest.empty()) break;
    std::size_t n = list_mark(rest);
    if (n == 0 && rest[0] == '>') n = 1;
    if (n == 0 && rest[0] == '#') {
      const std::size_t hashes = run_of(rest, '#');
      if (hashes <= 6 && (hashes == rest.size() || rest[hashes] == ' ')) n = hashes;
    }
    if (n == 0) break;
    at = from + n;
    found = true;
  }
  return found ? at : 0;
}

bool Fences::left_container(std::string_view line) const {
  const Indent in = indent_of(line);
  if (quoted_) return in.bytes == line.size() || line[in.bytes] != '>';
  return column_ > 0 && in.bytes < line.size() && in.column < column_;
}

void Fences::feed(std::string_view line) {
  if (inside() && left_container(line)) length_ = 0;
  if (!inside()) {
    outside(line);
    return;
  }
  std::string_view rest = line;
  if (const auto from = rest.find_first_not_of(" \t>"); from != std::string_view::npos)
    rest.remove_prefix(from);
  const std::size_t run = run_of(rest, mark_);
  if (run >= length_ && is_blank(rest.substr(run))) length_ = 0;
}

void Fences::outside(std::string_view line) {
  if (is_blank(line)) return;
  std::size_t at = 0;
  std::size_t column = 0;
  bool quoted = false;
  bool first = true;
  while (true) {
    const Indent in = indent_of(line.substr(at));
    at += in.bytes;
    column += in.column;
    if (first) {
      while (!columns_.empty() && column < columns_.back())
        columns_.pop_back();
      first = false;
    }
    const std::string_view rest = line.substr(at);
    if (!rest.empty() && rest[0] == '>') {
      quoted = true;
      ++at;
      ++column;
      continue;
    }
    const std::size_t n = list_mark(rest);
    if (n == 0) break;
    at += n;
    column += n;
    columns_.push_back(column);
  }
  const std::string_view rest = line.substr(at);
  if (rest.empty() || (rest[0] != '`' && rest[0] != '~')) return;
  const std::size_t run = run_of(rest, rest[0]);
  const std::string_view info = rest.substr(run);
  if (run < 3 || (rest[0] == '`' && info.find('`') != std::string_view::npos)) return;
  mark_ = rest[0];
  length_ = run;
  quoted_ = quoted;
  indent_ = column;
  column_ = quoted || columns_.empty() ? 0 : columns_.back();
  language_ = language_of(info);
}

std::string Fences::reopen() {
  length_ = std::min(length_, kMaxFence);
  std::string line = quoted_ ? "> " : std::string(std::min(indent_, kMaxColumn), ' ');
  line.append(length_, mark_);
  column_ = 0;
  columns_.clear();
  return line + language_ + "\n";
}

bool Fences::may_close(std::string_view line) const {
  const auto from = line.find_first_not_of(" \t>");
  if (from == std::string_view::npos) return false;
  return text::trim(line.substr(from)).find_first_not_of(mark_) == std::string_view::npos;
}

}  // namespace katana::gateway::markdown
