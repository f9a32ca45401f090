#include "gateway/outbound/entities.hpp"

#include <algorithm>
#include <utility>

namespace katana::gateway::markdown {
namespace {

bool verbatim(Style s) {
  return s == Style::Code || s == Style::Pre;
}
bool splittable(Style s) {
  return s == Style::Bold || s == Style::Italic || s == Style::Strike;
}
bool blank(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

const char* name_of(Style s) {
  switch (s) {
    case Style::Quote:
      return "blockquote";
    case Style::Link:
      return "text_link";
    case Style::Bold:
      return "bold";
    case Style::Italic:
      return "italic";
    case Style::Strike:
      return "strikethrough";
    case Style::Code:
      return "code";
    case Style::Pre:
      return "pre";
  }
  return "";
}

/// False when nothing is left. A code block keeps the blanks at its start (its indentation), as long as it
/// isn't all blank; so does a quote that begins with one of `all`.
bool trim(std::string_view text, Mark& m, const std::vector<Mark>& all = {}) {
  m.end = std::min(m.end, text.size());
  std::size_t begin = m.begin;
  std::size_t end = m.end;
  const auto indents = [&](std::size_t at) {
    return m.style == Style::Quote && std::any_of(all.begin(), all.end(), [&](const Mark& x) {
             return x.style == Style::Pre && x.begin == at;
           });
  };
  while (begin < end && blank(text[begin]) && !indents(begin))
    ++begin;
  while (end > begin && blank(text[end - 1]))
    --end;
  if (begin >= end) return false;
  if (m.style != Style::Pre) m.begin = begin;
  m.end = end;
  return true;
}

bool before(const Mark& a, const Mark& b) {
  if (a.begin != b.begin) return a.begin < b.begin;
  if (a.end != b.end) return a.end > b.end;
  return a.style < b.style;
}

/// Cuts styles around code, and drops code inside a link (the link is worth more). `marks` are sorted.
std::vector<Mark> separate(std::string_view text, std::vector<Mark> marks) {
  std::vector<Mark> code;
  std::vector<Mark> out;
  std::size_t link_end = 0;
  for (const Mark& m : marks) {
    if (m.style == Style::Link) link_end = std::max(link_end, m.end);
    if (!verbatim(m.style)) continue;
    if (m.begin >= link_end && (code.empty() || m.begin >= code.back().end)) code.push_back(m);
  }
  for (Mark& m : marks) {
    if (!splittable(m.style)) {
      if (!verbatim(m.style)) out.push_back(std::move(m));
      continue;
    }
    std::size_t from = m.begin;
    auto c = std::partition_point(code.begin(), code.end(), [&](const Mark& x) { return x.end <= m.begin; });
    for (; c != code.end() && c->begin < m.end; ++c) {
      Mark piece{m.style, from, c->begin};
      if (piece.begin < piece.end && trim(text, piece)) out.push_back(piece);
      from = c->end;
    }
    Mark rest{m.style, from, m.end};
    if (rest.begin < rest.end && trim(text, rest)) out.push_back(rest);
  }
  out.insert(out.end(), code.begin(), code.end());
  return out;
}

/// What to keep first when there is too much.
int worth(Style s) {
  switch (s) {
    case Style::Pre:
      return 0;
    case Style::Quote:
      return 1;
    case Style::Link:
      return 2;
    case Style::Code:
      return 3;
    default:
      return 4;
  }
}

std::size_t units(std::string_view utf8) {
  std::size_t n = 0;
  for (const char c : utf8) {
    const auto b = static_cast<unsigned char>(c);
    if ((b & 0xC0) != 0x80) n += b >= 0xF0 ? 2 : 1;
  }
  return n;
}

/// From byte places to UTF-16 units, in one walk over the text.
std::vector<telegram::Entity> counted(std::string_view text, std::vector<Mark>& marks) {
  std::vector<std::pair<std::size_t, std::size_t*>> places;
  places.reserve(marks.size() * 2);
  for (Mark& m : marks) {
    places.emplace_back(m.begin, &m.begin);
    places.emplace_back(m.end, &m.end);
  }
  std::sort(places.begin(), places.end());
  std::size_t at = 0;
  std::size_t n = 0;
  for (const auto& [place, slot] : places) {
    n += units(text.substr(at, place - at));
    at = place;
    *slot = n;
  }
  std::vector<telegram::Entity> out;
  out.reserve(marks.size());
  for (Mark& m : marks) {
    telegram::Entity e{name_of(m.style), m.begin, m.end - m.begin};
    if (m.style == Style::Link) e.url = std::move(m.detail);
    if (m.style == Style::Pre) e.language = std::move(m.detail);
    out.push_back(std::move(e));
  }
  return out;
}

}  // namespace

std::vector<telegram::Entity> entities_of(std::string_view text, std::vector<Mark> marks) {
  if (marks.empty()) return {};
  const std::vector<Mark> kept = marks;
  std::erase_if(marks, [&](Mark& m) { return m.begin >= m.end || !trim(text, m, kept); });
  std::sort(marks.begin(), marks.end(), before);
  marks = separate(text, std::move(marks));
  if (marks.size() > kMaxEntities) {
    std::stable_sort(marks.begin(), marks.end(),
                     [](const Mark& a, const Mark& b) { return worth(a.style) < worth(b.style); });
    marks.resize(kMaxEntities);
  }
  std::sort(marks.begin(), marks.end(), before);
  return counted(text, marks);
}

}  // namespace katana::gateway::markdown
