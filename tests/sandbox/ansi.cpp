#include "ansi.hpp"

#include <algorithm>
#include <iterator>

namespace sandbox {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

enum class Block : std::uint8_t { None, Code, Quote };

/// One character with what applies to it.
struct Glyph {
  std::string bytes;
  int columns = 0;
  std::uint8_t style = 0;
  Block block = Block::None;
  bool operator==(char c) const { return bytes.size() == 1 && bytes.front() == c; }
};
using Glyphs = std::vector<Glyph>;

struct Range {
  char32_t first;
  char32_t last;
};
constexpr Range kNoColumns[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
                                {0x064B, 0x065F}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},
                                {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D}, {0x20D0, 0x20FF},
                                {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}};
constexpr Range kTwoColumns[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F5},   {0x26FA, 0x26FD},
    {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},   {0x274C, 0x274E},   {0x2753, 0x2757},
    {0x2795, 0x2797},   {0x27B0, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B55},   {0x2E80, 0x303E},
    {0x3041, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F004, 0x1F0CF},
    {0x1F18E, 0x1F1FF}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7EB},
    {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

template <std::size_t N>
bool within(const Range (&ranges)[N], char32_t character) {
  const auto* found = std::lower_bound(std::begin(ranges), std::end(ranges), character,
                                       [](const Range& range, char32_t c) { return range.last < c; });
  return found != std::end(ranges) && found->first <= character;
}

/// The character at `at`, which moves on; what isn't UTF-8 is one replacement a byte.
char32_t next_character(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t more = lead < 0x80 ? 0 : lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 4;
  char32_t character = more == 0 ? lead : lead & (0x3FU >> more);
  if (more == 4 || lead > 0xF4 || at + more >= text.size()) return ++at, kReplacement;
  for (std::size_t i = 1; i <= more; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    if ((byte & 0xC0U) != 0x80U) return ++at, kReplacement;
    character = character << 6U | (byte & 0x3FU);
  }
  at += more + 1;
  return character;
}

/// Control characters, and those that turn the direction of what follows.
bool steers(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

Glyph glyph_of(char32_t character, std::string_view bytes) {
  if (character == '\n') return {"\n", 0};
  if (character == '\t') return {"    ", 4};
  if (character == kReplacement || steers(character)) return {"\uFFFD", 1};
  return {std::string(bytes), columns_of(character)};
}

void append_plain(Glyphs& glyphs, std::string_view text, std::uint8_t style) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    const char32_t character = next_character(text, at);
    glyphs.push_back(glyph_of(character, text.substr(from, at - from)));
    glyphs.back().style = style;
  }
}

std::uint8_t style_of(std::string_view type) {
  if (type == "bold") return kBold;
  if (type == "italic") return kItalic;
  if (type == "underline" || type == "url" || type == "text_link") return kUnderline;
  if (type == "strikethrough") return kStrike;
  if (type == "code" || type == "pre") return kDim;
  if (type == "spoiler") return kReverse;
  return 0;
}

Block block_of(std::string_view type) {
  if (type == "pre") return Block::Code;
  return type == "blockquote" || type == "expandable_blockquote" ? Block::Quote : Block::None;
}

/// Text and spans as glyphs; the address of a link follows its text.
Glyphs dress(std::string_view text, const std::vector<Span>& spans) {
  Glyphs glyphs;
  std::vector<std::size_t> by_unit;  // which glyph a UTF-16 unit belongs to
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    const char32_t character = next_character(text, at);
    by_unit.insert(by_unit.end(), character > 0xFFFF ? 2 : 1, glyphs.size());
    glyphs.push_back(glyph_of(character, text.substr(from, at - from)));
  }
  std::vector<std::pair<std::size_t, const std::string*>> addresses;
  const auto units = static_cast<std::int64_t>(by_unit.size());
  for (const Span& span : spans) {
    if (span.offset < 0 || span.length <= 0 || span.offset >= units) continue;
    const auto end = static_cast<std::size_t>(span.offset + std::min(span.length, units - span.offset));
    const std::size_t last = by_unit[end - 1];
    for (std::size_t i = by_unit[static_cast<std::size_t>(span.offset)]; i <= last; ++i) {
      glyphs[i].style |= style_of(span.type);
      if (const Block block = block_of(span.type); block != Block::None) glyphs[i].block = block;
    }
    if (!span.url.empty()) addresses.emplace_back(last + 1, &span.url);
  }
  std::stable_sort(addresses.begin(), addresses.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [place, url] : addresses) {
    Glyphs address;
    append_plain(address, " (" + *url + ")", kDim);
    glyphs.insert(glyphs.begin() + static_cast<std::ptrdiff_t>(place), address.begin(), address.end());
  }
  return glyphs;
}

std::string codes(std::uint8_t style) {
  static constexpr struct {
    Style bit;
    const char* code;
  } kCodes[] = {{kBold, "1"},      {kDim, "2"},     {kItalic, "3"},
                {kUnderline, "4"}, {kReverse, "7"}, {kStrike, "9"}};
  std::string out = "\x1b[0";
  for (const auto& one : kCodes) {
    if ((style & one.bit) != 0) out.append(";").append(one.code);
  }
  return out + "m";
}

using Place = Glyphs::const_iterator;

std::string line_of(Place from, Place to, std::string_view margin, bool color) {
  std::string line(margin);
  std::uint8_t style = 0;
  for (; from != to; ++from) {
    if (color && from->style != style) line += codes(style = from->style);
    line += from->bytes;
  }
  return style != 0 ? line + codes(0) : line;
}

/// One paragraph, broken at its spaces; code is broken only where it must be.
void wrap(Place from, Place to, const Look& look, std::vector<std::string>& lines) {
  const Block block = from == to ? Block::None : from->block;
  const std::string_view margin = block == Block::Code ? "  " : block == Block::Quote ? "│ " : "";
  const std::size_t room =
      look.columns > columns_of(margin) + 2 ? look.columns - columns_of(margin) : look.columns;
  Place start = from;
  Place space = to;
  std::size_t used = 0;
  for (Place at = from; at != to && look.columns != 0; ++at) {
    if (used + static_cast<std::size_t>(at->columns) > room && at != start) {
      if (*at == ' ' && block != Block::Code) space = at;
      const bool at_space = space != to && space != start;
      lines.push_back(line_of(start, at_space ? space : at, margin, look.color));
      start = at_space ? space + 1 : at;
      space = to;
      used = 0;
      at = start;
      if (at == to) return;
    }
    if (*at == ' ' && block != Block::Code) space = at;
    used += static_cast<std::size_t>(at->columns);
  }
  lines.push_back(line_of(start, to, margin, look.color));
}

}  // namespace

int columns_of(char32_t character) {
  if (character < 0x300) return 1;
  return within(kNoColumns, character) ? 0 : within(kTwoColumns, character) ? 2 : 1;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();)
    columns += static_cast<std::size_t>(columns_of(next_character(text, at)));
  return columns;
}

std::vector<std::string> ansi_lines(std::string_view text, const std::vector<Span>& spans, const Look& look) {
  const Glyphs glyphs = dress(text, spans);
  std::vector<std::string> lines;
  for (Place from = glyphs.begin();;) {
    // A block of code or a quotation stands on lines of its own.
    const Place end = std::find_if(from, glyphs.end(),
                                   [from](const Glyph& g) { return g == '\n' || g.block != from->block; });
    wrap(from, end, look, lines);
    if (end == glyphs.end()) return lines;
    from = *end == '\n' ? end + 1 : end;
  }
}

std::string styled(std::string_view text, std::uint8_t style, const Look& look) {
  return look.color ? codes(style) + std::string(text) + codes(0) : std::string(text);
}

}  // namespace sandbox
