#include "gateway/outbound/unfinished.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "gateway/outbound/blocks.hpp"

namespace katana::gateway::markdown {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_punctuation(char c) {
  const auto b = static_cast<unsigned char>(c);
  return (b > 0x20 && b < 0x30) || (b > 0x39 && b < 0x41) || (b > 0x5A && b < 0x61) || (b > 0x7A && b < 0x7F);
}
bool is_letter(char c) {
  return !is_space(c) && !is_punctuation(c);
}

/// A line that says nothing yet: a list mark, heading mark, fence, rule or table rule on its way.
bool only_begins(std::string_view line) {
  std::size_t from = line.find_first_not_of(" \t>");
  if (from == std::string_view::npos) return true;
  std::string_view rest = line.substr(from);
  if (rest.find_first_not_of(" \t>-+*#=_`~|:") == std::string_view::npos) return true;
  std::size_t n = 0;
  while (n < rest.size() && is_digit(rest[n]))
    ++n;
  return n > 0 && n < 10 && n + 1 == rest.size() && (rest[n] == '.' || rest[n] == ')');
}

/// Where the last paragraph, item, heading or row begins, and whether the end is inside a code block.
struct Place {
  std::size_t block = 0;
  std::size_t last_line = 0;
  bool code = false;
  bool may_close = false;  ///< code: the last line may be the end of it
};
Place last_block(std::string_view piece) {
  Place place;
  Fences fences;
  for (std::size_t at = 0; at < piece.size();) {
    const auto end = std::min(piece.find('\n', at), piece.size());
    const std::string_view line = piece.substr(at, end - at);
    place.last_line = at;
    const bool was_inside = fences.inside();
    place.may_close = was_inside && end == piece.size() && fences.may_close(line);
    fences.feed(line);
    place.code = fences.inside();
    if (was_inside || fences.inside()) {
      place.block = std::min(end + 1, piece.size());
    } else if (is_blank(line)) {
      place.block = end;
    } else if (const std::size_t mark = block_mark(line);
               mark > 0 && line.find_first_of("-*+#0123456789") < mark) {
      place.block = at + mark;
    }
    at = end + 1;
    if (end == piece.size()) break;
  }
  if (!piece.empty() && piece.back() == '\n') place.last_line = piece.size();
  return place;
}

/// Walks over one block's inline text and keeps what is open.
class Inline {
 public:
  Inline(std::string_view text, std::size_t from) : text_(text), at_(from), end_(text.size()) {}

  Whole close() {
    while (at_ < end_) {
      const char c = text_[at_];
      if (c == '\\')
        at_ += 2;
      else if (c == '`')
        code();
      else if (c == '*' || c == '_' || c == '~')
        delimiter(c);
      else if (c == '[')
        brackets_.push_back(at_++);
      else if (c == ']')
        bracket();
      else
        ++at_;
    }
    Whole whole;
    whole.source = std::string(text_.substr(0, end_));
    if (cut_link_ != npos) {
      whole.source.erase(cut_link_, 1);
      if (cut_link_ > 0 && whole.source[cut_link_ - 1] == '!') whole.source.erase(cut_link_ - 1, 1);
    }
    std::string closers = code_;
    for (auto it = open_.rbegin(); it != open_.rend(); ++it)
      closers.append(it->length, it->mark);
    for (const Run& run : open_)
      whole.openers.append(run.length, run.mark);
    whole.openers += code_;
    if (closers.empty()) return whole;
    while (!whole.source.empty() && is_space(whole.source.back()))
      whole.source.pop_back();
    whole.source += closers;
    return whole;
  }

 private:
  static constexpr std::size_t npos = std::string_view::npos;
  struct Run {
    char mark;
    std::size_t length;
    std::size_t at;
  };

  std::size_t run_at(std::size_t at) const {
    std::size_t n = 0;
    while (at + n < end_ && text_[at + n] == text_[at])
      ++n;
    return n;
  }

  void code() {
    const std::size_t n = run_at(at_);
    for (std::size_t i = at_ + n; i < end_;) {
      if (text_[i] != '`') {
        ++i;
        continue;
      }
      const std::size_t m = run_at(i);
      if (m == n) {
        at_ = i + m;
        return;
      }
      i += m;
    }
    if (at_ + n == end_) {
      end_ = at_;  // nothing stands behind it yet
      return;
    }
    // Backticks at the very end may be the closing run on its way.
    std::size_t end = end_;
    while (end > at_ + n && text_[end - 1] == '`')
      --end;
    if (end_ - end < n) end_ = end;
    code_.assign(n, '`');
    at_ = end_;
  }

  void delimiter(char mark) {
    std::size_t n = run_at(at_);
    const char prev = at_ == 0 ? ' ' : text_[at_ - 1];
    const bool last = at_ + n == end_;
    const char next = last ? ' ' : text_[at_ + n];
    bool opens = !is_space(next) && (!is_punctuation(next) || !is_letter(prev));
    bool closes = !is_space(prev) && (!is_punctuation(prev) || !is_letter(next));
    if (mark == '_') {
      const bool inside_word = is_letter(prev) && is_letter(next);
      opens = opens && !inside_word;
      closes = closes && !inside_word;
    }
    const std::size_t begin = at_;
    at_ += n;
    if (mark == '~' && n > 2) return;
    while (closes && n > 0) {
      auto it = std::find_if(open_.rbegin(), open_.rend(), [&](const Run& run) { return run.mark == mark; });
      if (it == open_.rend()) break;
      const auto index = static_cast<std::size_t>(open_.rend() - it) - 1;
      const std::size_t used = std::min(n, open_[index].length);
      n -= used;
      open_[index].length -= used;
      open_.resize(open_[index].length == 0 ? index : index + 1);
    }
    if (n == 0) return;
    if (last)
      end_ = std::max(begin, end_ - n);  // an opening run, or the rest of one, with nothing behind it
    else if (opens)
      open_.push_back({mark, n, begin});
  }

  void bracket() {
    const std::size_t close = at_++;
    if (brackets_.empty()) return;
    const std::size_t open = brackets_.back();
    brackets_.pop_back();
    if (at_ >= end_ || text_[at_] != '(') return;
    std::size_t depth = 0;
    for (std::size_t i = at_; i < end_ && text_[i] != '\n'; ++i) {
      if (text_[i] == '\\')
        ++i;
      else if (text_[i] == '(')
        ++depth;
      else if (text_[i] == ')' && --depth == 0) {
        at_ = i + 1;
        return;
      }
    }
    if (text_.find('\n', at_) < end_) return;  // not a link
    cut_link_ = open;
    end_ = close;
    at_ = end_;
  }

  std::string_view text_;
  std::size_t at_;
  std::size_t end_;
  std::vector<Run> open_;
  std::vector<std::size_t> brackets_;
  std::string code_;
  std::size_t cut_link_ = npos;
};

}  // namespace

Whole make_whole(std::string_view piece, bool growing) {
  Place place = last_block(piece);
  const std::string_view last = piece.substr(place.last_line);
  if (growing && !last.empty()) {
    const bool drop = place.code || place.may_close ? place.may_close : only_begins(last);
    if (drop) {
      piece = piece.substr(0, place.last_line);
      place.block = std::min(place.block, piece.size());
      if (place.code || place.may_close) return {std::string(piece), {}};
      place = last_block(piece);
    }
  }
  if (place.code || place.block >= piece.size()) return {std::string(piece), {}};
  return Inline(piece, place.block).close();
}

}  // namespace katana::gateway::markdown
