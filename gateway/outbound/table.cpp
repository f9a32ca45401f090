#include "gateway/outbound/table.hpp"

#include <algorithm>
#include <cstdint>

#include "common/core/text.hpp"

namespace katana::gateway::markdown {
namespace {

char32_t decode(std::string_view s, std::size_t& i) {
  const auto lead = static_cast<unsigned char>(s[i++]);
  if (lead < 0x80) return lead;
  char32_t c = lead >= 0xF0 ? lead & 0x07 : lead >= 0xE0 ? lead & 0x0F : lead & 0x1F;
  while (i < s.size() && (static_cast<unsigned char>(s[i]) & 0xC0) == 0x80) {
    c = (c << 6) | (static_cast<unsigned char>(s[i++]) & 0x3F);
  }
  return c;
}

/// East Asian characters and emoji take two columns.
bool is_wide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         c >= 0x10000;
}

/// Columns on the screen; never less than the UTF-16 units.
std::size_t width_of(std::string_view s) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < s.size();)
    width += is_wide(decode(s, i)) ? 2 : 1;
  return width;
}

std::string padded(std::string_view text, std::size_t width, Table::Align align) {
  const std::size_t used = width_of(text);
  const std::size_t free = width > used ? width - used : 0;
  std::size_t left = 0;
  if (align == Table::Align::Right) left = free;
  if (align == Table::Align::Center) left = free / 2;
  return std::string(left, ' ').append(text).append(free - left, ' ');
}

void trim_end(std::string& s) {
  while (!s.empty() && s.back() == ' ')
    s.pop_back();
}

}  // namespace

void Table::begin_cell(Align align) {
  if (rows_.size() == 1) aligns_.push_back(align);
  rows_.back().emplace_back();
}

std::string Table::layout() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    if (row.size() > widths.size()) widths.resize(row.size(), 0);
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width_of(text::trim(row[i])));
  }
  std::size_t total = widths.empty() ? 0 : 3 * (widths.size() - 1);
  for (const std::size_t w : widths)
    total += w;
  const bool fits = total <= kMaxWidth;

  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r > 0) out += '\n';
    std::string line;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      if (i > 0) line += " | ";
      const std::string_view text = text::trim(rows_[r][i]);
      const Align align = i < aligns_.size() ? aligns_[i] : Align::Left;
      line += fits ? padded(text, widths[i], align) : std::string(text);
    }
    trim_end(line);
    out += line;
    if (r > 0 || !fits) continue;
    out += '\n';
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) out += "-+-";
      out.append(widths[i], '-');
    }
  }
  return out;
}

}  // namespace katana::gateway::markdown
