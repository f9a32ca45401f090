#include "gateway/outbound/composer.hpp"

#include <algorithm>
#include <utility>

#include "common/core/text.hpp"
#include "gateway/outbound/table.hpp"
#include "gateway/outbound/unfinished.hpp"

namespace katana::gateway {
namespace {

/// A place to cut counts only when the part is at least this full: no message of one line before a long
/// paragraph.
constexpr std::size_t kFullEnough = Composer::kBudget / 3;
/// A table's head is repeated in the next part unless it is longer.
constexpr std::size_t kMaxTableHead = 600;
/// Above what a line's characters come to: a blank line around a rule, digits of a counted list.
constexpr std::size_t kLineExtra = 5;

/// Shown when an answer holds nothing that can be seen.
constexpr std::string_view kNothing = "(no text)";

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}

std::size_t bytes_at(std::string_view s, std::size_t i) {
  const auto b = static_cast<unsigned char>(s[i]);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

std::string_view trim_blank(std::string_view s) {
  while (!s.empty() && is_space(s.back()))
    s.remove_suffix(1);
  while (!s.empty() && is_space(s.front()))
    s.remove_prefix(1);
  return s;
}

}  // namespace

std::size_t Composer::Meter::line(bool code, bool table) const {
  const std::size_t plain = units + 3 * tabs;
  if (code) return plain;
  if (table) return std::max(plain + 2 * pipes, markdown::Table::kMaxWidth) + kLineExtra;
  return plain + kLineExtra;
}

void Composer::append(std::string_view piece) {
  if (piece.empty()) return;
  ++version_;
  std::string joined;
  if (!pending_.empty()) {
    joined = std::exchange(pending_, {}).append(piece);
    piece = joined;
  }
  const std::size_t tail = text::incomplete_tail(piece);
  pending_ = piece.substr(piece.size() - tail);
  text_ += markdown::clean(piece.substr(0, piece.size() - tail));
  pieces_.back().rendered = false;
  scan();
}

bool Composer::assign(std::string_view whole) {
  const std::size_t tail = text::incomplete_tail(whole);
  std::string fresh = markdown::clean(whole.substr(0, whole.size() - tail));
  const bool goes_on =
      fresh.size() >= text_.size() && std::string_view(fresh).substr(0, text_.size()) == text_;
  if (goes_on && fresh.size() == text_.size() && pending_ == whole.substr(whole.size() - tail)) return true;
  if (!goes_on) clear();
  text_ = std::move(fresh);
  ++version_;
  pending_ = whole.substr(whole.size() - tail);
  pieces_.back().rendered = false;
  scan();
  return goes_on;
}

void Composer::clear() {
  const std::uint64_t version = version_ + 1;
  *this = Composer();
  version_ = version;
}

void Composer::finish(std::string_view footer) {
  ++version_;
  if (!pending_.empty()) text_ += markdown::clean(std::exchange(pending_, {}));
  scan();
  finished_ = true;
  footer_ = text::shorten(trim_blank(markdown::clean(footer)), kMaxFooter);
  pieces_.back().rendered = false;
}

std::size_t Composer::count() const {
  if (finished_) return pieces_.size();
  return seen_text_ ? pieces_.size() : pieces_.size() - 1;
}

// ---- reading ----

/// Code that has a part to itself may fill it: what it renders to is shorter than its source, and no footer
/// is worth cutting it for.
std::size_t Composer::budget() const {
  const bool code_alone = fences_.inside() && fence_begin_ == pieces_.back().begin;
  return code_alone ? kMaxUnits : kBudget;
}

void Composer::scan() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') {
      end_line(at_);
      continue;
    }
    const std::size_t n = bytes_at(text_, at_);
    meter_.units += n == 4 ? 2 : 1;
    if (c == '\t') ++meter_.tabs;
    if (c == '|') {
      ++meter_.pipes;
      piped_ = piped_ || !fences_.inside();
    }
    if (is_space(c)) {
      at_ += n;
      if (seen_text_) word_ = {at_, meter_.lines + meter_.line(fences_.inside(), piped_)};
      continue;
    }
    // Blanks alone never begin a part: what doesn't fit is always something to be seen.
    if (seen_text_ && meter_.lines + meter_.line(fences_.inside(), piped_) > budget()) {
      cut();
      continue;
    }
    seen_text_ = true;
    at_ += n;
  }
}

void Composer::end_line(std::size_t line_end) {
  const std::string_view line = std::string_view(text_).substr(line_begin_, line_end - line_begin_);
  const std::size_t next = line_end + 1;
  at_ = next;
  if (!seen_text_) {  // leading blank lines belong to no part
    pieces_.back().begin = line_begin_ = next;
    meter_.units = meter_.tabs = meter_.pipes = 0;
    return;
  }
  ++meter_.units;
  const std::size_t before = meter_.lines;
  const bool was_code = fences_.inside();
  meter_.lines += meter_.line(was_code, piped_);
  meter_.units = meter_.tabs = meter_.pipes = 0;
  fences_.feed(line);
  const std::size_t begin = std::exchange(line_begin_, next);
  if (!was_code && fences_.inside()) fence_begin_ = begin;
  if (fences_.inside()) {
    table_head_end_ = 0;
  } else if (markdown::is_blank(line)) {
    piped_ = false;
    table_head_end_ = 0;
    paragraph_ = {next, meter_.lines};
  } else if (was_code) {
    paragraph_ = {next, meter_.lines};  // a code block ended here
  } else if (!in_table_rows() && markdown::is_table_rule(line) && last_line_begin_ < begin &&
             last_line_begin_ >= pieces_.back().begin) {
    table_begin_ = last_line_begin_;
    table_head_end_ = next;
  } else if (line[0] == '#' && before > 0) {
    paragraph_ = {begin, before};
  }
  if (!fences_.inside() && !in_table_rows()) line_ = {next, meter_.lines};
  last_line_begin_ = begin;
}

// ---- cutting ----

/// Called when the character at `at_` doesn't fit. Code that would fit a message of its own isn't cut: the
/// part ends before it, however short that leaves it.
void Composer::cut() {
  const std::size_t begin = pieces_.back().begin;
  const bool line_break_fits = line_begin_ > begin && meter_.lines >= kFullEnough;
  if (fences_.inside()) {
    if (fence_begin_ > begin) return begin_part(fence_begin_, {}, {});
    markdown::Fences fences = fences_;
    std::string opening = fences.reopen();
    const std::size_t first = word_.at > line_begin_ ? word_.at : at_;
    begin_part(line_break_fits ? line_begin_ : first, std::move(opening), std::move(fences));
    fence_begin_ = pieces_.back().begin;
    return;
  }
  if (in_table_rows() && line_begin_ >= table_head_end_) {
    if (table_begin_ > begin && paragraph_.at <= table_begin_) {
      const bool short_before = table_begin_ - begin < kFullEnough / 2;
      if (!short_before) return begin_part(table_begin_, {}, {});
    }
    if (line_break_fits) {
      std::string head = text_.substr(table_begin_, table_head_end_ - table_begin_);
      if (table_begin_ == begin) head = pieces_.back().prefix + head;
      if (text::utf16_length(head) > kMaxTableHead) head.clear();
      begin_part(line_begin_, head, {});
      return;
    }
  }
  if (paragraph_.at > begin && paragraph_.cost >= kFullEnough) return begin_part(paragraph_.at, {}, {});
  std::size_t at = at_;
  if (line_.at > begin && line_.cost >= kFullEnough)
    at = line_.at;
  else if (word_.at > begin && word_.cost >= kFullEnough)
    at = word_.at;
  const std::string piece = pieces_.back().prefix + text_.substr(begin, at - begin);
  begin_part(at, markdown::make_whole(piece, false).openers, {});
}

void Composer::begin_part(std::size_t at, std::string prefix, markdown::Fences fences) {
  const std::size_t units = text::utf16_length(prefix);
  const bool table = !prefix.empty() && !fences.inside() && prefix.back() == '\n';
  pieces_.push_back({at, std::move(prefix)});
  at_ = line_begin_ = last_line_begin_ = at;
  seen_text_ = false;
  meter_ = {};
  meter_.lines = units;
  fences_ = std::move(fences);
  fence_begin_ = at;
  piped_ = table;
  table_begin_ = at;
  table_head_end_ = table ? at : 0;
  paragraph_ = line_ = word_ = {};
  pieces_[pieces_.size() - 2].rendered = false;  // once more, now that it is complete
}

// ---- showing ----

std::string_view Composer::source_of(std::size_t part) const {
  const std::size_t begin = pieces_[part].begin;
  const std::size_t end = part + 1 < pieces_.size() ? pieces_[part + 1].begin : text_.size();
  return std::string_view(text_).substr(begin, end - begin);
}

const markdown::Formatted& Composer::part(std::size_t part) {
  Piece& piece = pieces_[part];
  if (!piece.rendered) {
    piece.shown = rendered(part);
    piece.rendered = true;
  }
  return piece.shown;
}

markdown::Formatted Composer::rendered(std::size_t part) const {
  const bool last = part + 1 == pieces_.size();
  std::string source = pieces_[part].prefix;
  source += source_of(part);
  const std::string_view footer = last ? std::string_view(footer_) : std::string_view();
  const std::size_t room = kMaxUnits - (footer.empty() ? 0 : text::utf16_length(footer) + 2);
  markdown::Formatted shown =
      markdown::render(last && finished_ ? source : markdown::make_whole(source, last).source);
  // The count that cuts are made by is an upper bound of what md4c and we make of it; should it ever not be,
  // or should there be nothing to see (a part of link definitions alone), the source is shown as it is.
  const bool nothing = shown.text.empty() && (!last || finished_);
  if (nothing || text::utf16_length(shown.text) > room) {
    shown = {std::string(trim_blank(source_of(part))), {}};
    shown.text = text::shorten(shown.text, room);
  }
  if (shown.text.empty() && footer.empty() && finished_) shown.text = kNothing;
  if (!footer.empty()) shown.text.append(shown.text.empty() ? "" : "\n\n").append(footer);
  return shown;
}

std::string Composer::plain(std::size_t part) const {
  std::string text(trim_blank(source_of(part)));
  const bool footed = part + 1 == pieces_.size() && !footer_.empty();
  text = text::shorten(text, kMaxUnits - (footed ? text::utf16_length(footer_) + 2 : 0));
  if (text.empty() && !footed) return std::string(kNothing);
  if (footed) text.append(text.empty() ? "" : "\n\n").append(footer_);
  return text;
}

}  // namespace katana::gateway
