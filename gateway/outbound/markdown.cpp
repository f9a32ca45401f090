#include "gateway/outbound/markdown.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include <md4c.h>

#include "common/core/text.hpp"
#include "gateway/outbound/blocks.hpp"
#include "gateway/outbound/character_reference.hpp"
#include "gateway/outbound/entities.hpp"
#include "gateway/outbound/table.hpp"

namespace katana::gateway::markdown {
namespace {

constexpr std::size_t kMaxUrl = 2048;
constexpr std::size_t kMaxLanguage = 32;

std::string value_of(const MD_ATTRIBUTE& a) {
  std::string out;
  if (a.text == nullptr) return out;
  for (int i = 0; a.substr_offsets[i] < a.size; ++i) {
    const std::string_view piece(a.text + a.substr_offsets[i], a.substr_offsets[i + 1] - a.substr_offsets[i]);
    out += a.substr_types[i] == MD_TEXT_ENTITY ? decode_reference(piece) : std::string(piece);
  }
  return out;
}

/// Telegram refuses or drops other schemes, and has its own opinion about hosts; anything else is shown as
/// text.
bool is_linkable(std::string_view url) {
  if (url.size() > kMaxUrl) return false;
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F) return false;
  }
  for (const std::string_view scheme : {"https://", "http://", "tg://"}) {
    if (url.size() > scheme.size() && url.substr(0, scheme.size()) == scheme) {
      const char c = url[scheme.size()];
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '[' ||
             static_cast<unsigned char>(c) >= 0x80;
    }
  }
  return false;
}

/// Turns md4c's callbacks into text and marks. Lives for one document.
class Renderer {
 public:
  explicit Renderer(std::string_view source) : source_(source) { out_.reserve(source.size() + 64); }

  int enter_block(MD_BLOCKTYPE type, void* detail);
  int leave_block(MD_BLOCKTYPE type);
  int enter_span(MD_SPANTYPE type, void* detail);
  int leave_span(MD_SPANTYPE type);
  int text(MD_TEXTTYPE type, std::string_view s);
  Formatted finish();

 private:
  static constexpr std::size_t kUnset = static_cast<std::size_t>(-1);
  struct List {
    bool ordered = false;
    unsigned next = 1;
  };
  struct Open {
    Style style;
    bool block;
    std::size_t begin = kUnset;  ///< set with the first text
    std::string detail{};
  };

  void open(Style style, bool block, std::string detail = {});
  void close(Style style);
  void item(const MD_BLOCK_LI_DETAIL& detail);
  void enter_link(const std::string& url);
  void leave_link();
  void rule();
  void code_ends();
  void write(std::string_view s);
  void begin_text();
  void set_begins(bool blocks_alone);
  [[nodiscard]] bool blank_line_follows() const;
  void seen(std::string_view s);

  std::string_view source_;
  std::size_t seen_ = 0;  ///< bytes of the source up to the end of the last text: blank lines are kept by it
  std::string out_;
  std::vector<Mark> marks_;
  std::vector<Open> open_;
  std::size_t unset_ = 0;
  std::vector<List> lists_;
  std::string bullet_;  ///< waits for the item's first text
  bool break_ = false;  ///< the next text begins a line
  int styles_[7] = {};  ///< how often each style is open: only the outermost counts
  bool in_code_ = false;
  std::optional<Table> table_;
  std::vector<std::pair<std::size_t, std::string>>
      cell_links_;  ///< open links in a cell: where, and the address
};

void Renderer::open(Style style, bool block, std::string detail) {
  if (styles_[static_cast<int>(style)]++ > 0 || table_) return;
  open_.push_back({style, block, kUnset, std::move(detail)});
  ++unset_;
}

void Renderer::close(Style style) {
  if (--styles_[static_cast<int>(style)] > 0 || open_.empty() || open_.back().style != style) return;
  Open& top = open_.back();
  if (top.begin == kUnset) {
    --unset_;
  } else {
    marks_.push_back({style, top.begin, out_.size(), std::move(top.detail)});
  }
  open_.pop_back();
}

void Renderer::set_begins(bool blocks_alone) {
  if (unset_ == 0) return;
  for (Open& o : open_) {
    if (o.begin != kUnset || (blocks_alone && !o.block)) continue;
    o.begin = out_.size();
    --unset_;
  }
}

/// What goes before a text: the line break that the blocks ask for, then bullets.
void Renderer::begin_text() {
  if (break_) {
    if (!out_.empty()) out_ += blank_line_follows() ? "\n\n" : "\n";
    break_ = false;
  }
  set_begins(true);
  if (!bullet_.empty()) {
    out_ += bullet_;
    bullet_.clear();
  }
  set_begins(false);
}

void Renderer::write(std::string_view s) {
  if (table_) {
    table_->cell() += s;
    return;
  }
  begin_text();
  out_ += s;
}

/// True when the line after the one of the last text is blank (a quote's empty line too).
bool Renderer::blank_line_follows() const {
  const auto end = source_.find('\n', seen_);
  if (end == std::string_view::npos) return false;
  const auto from = source_.find_first_not_of(" \t>", end + 1);
  return from != std::string_view::npos && source_[from] == '\n';
}

void Renderer::seen(std::string_view s) {
  const auto begin = reinterpret_cast<std::uintptr_t>(source_.data());
  const auto at = reinterpret_cast<std::uintptr_t>(s.data());
  if (at < begin || at >= begin + source_.size()) return;
  seen_ = std::max(seen_, static_cast<std::size_t>(at - begin) + s.size());
}

void Renderer::item(const MD_BLOCK_LI_DETAIL& detail) {
  // Items on one line (`- - a`) stay on one line: their bullets gather until text comes.
  if (bullet_.empty()) {
    break_ = true;
    bullet_.assign(2 * (lists_.size() - 1), ' ');
  }
  List& list = lists_.back();
  if (detail.is_task) {
    bullet_ += detail.task_mark == ' ' ? "☐ " : "☑ ";
    if (list.ordered) ++list.next;
  } else if (list.ordered) {
    bullet_ += std::to_string(list.next++) + ". ";
  } else {
    bullet_ += "• ";
  }
}

void Renderer::rule() {
  break_ = true;
  write("———");
  break_ = true;
  // md4c doesn't say where in the source the rule stands: it is the next line that isn't blank.
  auto end = source_.find('\n', seen_);
  while (end != std::string_view::npos) {
    const auto next = source_.find('\n', end + 1);
    const std::string_view line =
        source_.substr(end + 1, next == std::string_view::npos ? next : next - end - 1);
    if (!is_blank(line)) {
      seen_ = end + 1 + line.size();
      return;
    }
    end = next;
  }
}

/// Steps over the line of the closing fence.
void Renderer::code_ends() {
  while (!out_.empty() && out_.back() == '\n')
    out_.pop_back();
  const auto end = source_.find('\n', seen_);
  if (end == std::string_view::npos) return;
  const auto next = source_.find('\n', end + 1);
  const std::string_view line =
      source_.substr(end + 1, next == std::string_view::npos ? next : next - end - 1);
  const auto from = line.find_first_not_of(" \t>");
  if (from != std::string_view::npos && (line[from] == '`' || line[from] == '~'))
    seen_ = end + 1 + line.size();
}

int Renderer::enter_block(MD_BLOCKTYPE type, void* detail) {
  switch (type) {
    case MD_BLOCK_QUOTE:
      break_ = bullet_.empty() || break_;
      open(Style::Quote, true);
      break;
    case MD_BLOCK_UL:
      lists_.push_back({false, 1});
      break;
    case MD_BLOCK_OL:
      lists_.push_back({true, static_cast<MD_BLOCK_OL_DETAIL*>(detail)->start});
      break;
    case MD_BLOCK_LI:
      item(*static_cast<MD_BLOCK_LI_DETAIL*>(detail));
      break;
    case MD_BLOCK_HR:
      rule();
      break;
    case MD_BLOCK_H:
      if (bullet_.empty()) break_ = true;
      open(Style::Bold, true);
      break;
    case MD_BLOCK_P:
      if (bullet_.empty()) break_ = true;
      break;
    case MD_BLOCK_CODE: {
      break_ = true;
      std::string language;
      for (const char c : value_of(static_cast<MD_BLOCK_CODE_DETAIL*>(detail)->lang)) {
        const bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          c == '+' || c == '#' || c == '-' || c == '_' || c == '.';
        if (!fits || language.size() == kMaxLanguage) break;
        language += c;
      }
      if (!bullet_.empty()) write({});  // the bullet stands on a line of its own
      break_ = true;
      in_code_ = true;
      open(Style::Pre, true, std::move(language));
      break;
    }
    case MD_BLOCK_TABLE:
      if (!bullet_.empty()) write({});
      break_ = true;
      begin_text();
      table_.emplace();
      break;
    case MD_BLOCK_TR:
      table_->begin_row();
      break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD: {
      const MD_ALIGN align = static_cast<MD_BLOCK_TD_DETAIL*>(detail)->align;
      table_->begin_cell(align == MD_ALIGN_RIGHT    ? Table::Align::Right
                         : align == MD_ALIGN_CENTER ? Table::Align::Center
                                                    : Table::Align::Left);
      break;
    }
    default:
      break;
  }
  return 0;
}

int Renderer::leave_block(MD_BLOCKTYPE type) {
  switch (type) {
    case MD_BLOCK_QUOTE:
      close(Style::Quote);
      break_ = true;
      break;
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
      lists_.pop_back();
      break_ = true;
      break;
    case MD_BLOCK_LI:
      if (!bullet_.empty()) {  // an empty item
        bullet_.pop_back();
        write({});
      }
      break_ = true;
      break;
    case MD_BLOCK_H:
      close(Style::Bold);
      break_ = true;
      break;
    case MD_BLOCK_P:
      break_ = true;
      break;
    case MD_BLOCK_CODE:
      code_ends();
      close(Style::Pre);
      in_code_ = false;
      break_ = true;
      break;
    case MD_BLOCK_TABLE: {
      const std::string laid_out = table_->layout();
      table_.reset();
      open(Style::Pre, true);
      if (!laid_out.empty()) write(laid_out);
      close(Style::Pre);
      break_ = true;
      break;
    }
    default:
      break;
  }
  return 0;
}

int Renderer::enter_span(MD_SPANTYPE type, void* detail) {
  switch (type) {
    case MD_SPAN_EM:
      open(Style::Italic, false);
      break;
    case MD_SPAN_STRONG:
      open(Style::Bold, false);
      break;
    case MD_SPAN_DEL:
      open(Style::Strike, false);
      break;
    case MD_SPAN_CODE:
      open(Style::Code, false);
      break;
    case MD_SPAN_A:
      enter_link(value_of(static_cast<MD_SPAN_A_DETAIL*>(detail)->href));
      break;
    case MD_SPAN_IMG:
      enter_link(value_of(static_cast<MD_SPAN_IMG_DETAIL*>(detail)->src));
      break;
    default:
      break;
  }
  return 0;
}

void Renderer::enter_link(const std::string& url) {
  std::string address = clean(text::trim(url));
  if (table_) cell_links_.emplace_back(table_->cell().size(), address);
  open(Style::Link, false, std::move(address));
}

/// A link that Telegram can't take (in monospaced text: any) is written out: `text (address)`.
void Renderer::leave_link() {
  if (table_) {
    const auto [begin, url] = cell_links_.back();
    cell_links_.pop_back();
    const std::string shown = table_->cell().substr(begin);
    if (!url.empty() && shown != url) write(shown.empty() ? url : " (" + url + ")");
  }
  if (styles_[static_cast<int>(Style::Link)] > 1 || open_.empty() || open_.back().style != Style::Link) {
    close(Style::Link);
    return;
  }
  Open& top = open_.back();
  const std::string url = std::exchange(top.detail, {});
  const bool empty = top.begin == kUnset;
  const std::string shown = empty ? std::string() : out_.substr(top.begin);
  if (empty && !url.empty()) write(url);
  const bool link = !empty && shown != url && is_linkable(url);
  if (link) top.detail = url;
  const std::size_t before = marks_.size();
  close(Style::Link);
  if (link) return;
  marks_.resize(before);  // Telegram finds bare addresses by itself
  if (!empty && !url.empty() && shown != url && "mailto:" + shown != url) write(" (" + url + ")");
}

int Renderer::leave_span(MD_SPANTYPE type) {
  switch (type) {
    case MD_SPAN_EM:
      close(Style::Italic);
      break;
    case MD_SPAN_STRONG:
      close(Style::Bold);
      break;
    case MD_SPAN_DEL:
      close(Style::Strike);
      break;
    case MD_SPAN_CODE:
      close(Style::Code);
      break;
    case MD_SPAN_A:
    case MD_SPAN_IMG:
      leave_link();
      break;
    default:
      break;
  }
  return 0;
}

int Renderer::text(MD_TEXTTYPE type, std::string_view s) {
  switch (type) {
    case MD_TEXT_NULLCHAR:
      write("\xEF\xBF\xBD");
      break;
    case MD_TEXT_BR:
    case MD_TEXT_SOFTBR:
      write(table_ ? " " : "\n");
      break;
    case MD_TEXT_ENTITY:
      write(decode_reference(s));
      break;
    default: {
      if (s.find('\t') == std::string_view::npos) {
        write(s);
        break;
      }
      std::string expanded;  // Telegram shows a tab as one blank
      for (const char c : s) {
        if (c != '\t')
          expanded += c;
        else
          expanded += in_code_ ? "    " : " ";
      }
      write(expanded);
    }
  }
  seen(s);  // last: the break before this text is decided by where the one before it ended
  return 0;
}

Formatted Renderer::finish() {
  const auto end = out_.find_last_not_of(" \n\t");
  out_.resize(end == std::string::npos ? 0 : end + 1);
  std::size_t first = out_.find_first_not_of(" \n\t");
  if (first == std::string::npos) return {};
  // Blanks at the start stay when they are a code block's indentation: Telegram trims up to the first entity.
  for (const Mark& m : marks_) {
    if (m.style == Style::Pre) first = std::min(first, m.begin);
  }
  if (first > 0) {
    out_.erase(0, first);
    for (Mark& m : marks_) {
      m.begin -= std::min(m.begin, first);
      m.end -= std::min(m.end, first);
    }
  }
  Formatted f;
  f.entities = entities_of(out_, std::move(marks_));
  f.text = std::move(out_);
  return f;
}

Renderer& self(void* user) {
  return *static_cast<Renderer*>(user);
}

}  // namespace

std::string clean(std::string_view bytes) {
  std::string out = text::is_valid_utf8(bytes) ? std::string(bytes) : text::sanitize(bytes);
  std::erase(out, '\r');
  for (char& c : out) {
    const auto b = static_cast<unsigned char>(c);
    if ((b < 0x20 && c != '\n' && c != '\t') || b == 0x7F) c = ' ';
  }
  return out;
}

Formatted render(std::string_view markdown) {
  const std::string source = clean(markdown);
  MD_PARSER parser{};
  parser.flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_NOHTML |
                 MD_FLAG_PERMISSIVEURLAUTOLINKS |  // so that an underscore in a bare address is no emphasis
                 MD_FLAG_NOINDENTEDCODEBLOCKS;     // deep lists, cut in two, begin with blanks
  parser.enter_block = [](MD_BLOCKTYPE t, void* d, void* u) { return self(u).enter_block(t, d); };
  parser.leave_block = [](MD_BLOCKTYPE t, void*, void* u) { return self(u).leave_block(t); };
  parser.enter_span = [](MD_SPANTYPE t, void* d, void* u) { return self(u).enter_span(t, d); };
  parser.leave_span = [](MD_SPANTYPE t, void*, void* u) { return self(u).leave_span(t); };
  parser.text = [](MD_TEXTTYPE t, const MD_CHAR* s, MD_SIZE n, void* u) {
    return self(u).text(t, std::string_view(s, n));
  };
  Renderer renderer(source);
  if (md_parse(source.data(), static_cast<MD_SIZE>(source.size()), &parser, &renderer) != 0) {
    return {std::string(text::trim(source)), {}};
  }
  return renderer.finish();
}

}  // namespace katana::gateway::markdown
