// The parse modes: HTML, MarkdownV2, and the old Markdown, with the real server's way of refusing.
#include <algorithm>
#include <array>

#include "http.hpp"
#include "text.hpp"

namespace sandbox {
namespace {

std::string cant_parse(std::string_view why) {
  return "can't parse entities: " + std::string(why);
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6));
    out += static_cast<char>(0x80U | (code & 63U));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0U | (code >> 12));
    out += static_cast<char>(0x80U | ((code >> 6) & 63U));
    out += static_cast<char>(0x80U | (code & 63U));
  } else {
    out += static_cast<char>(0xF0U | (code >> 18));
    out += static_cast<char>(0x80U | ((code >> 12) & 63U));
    out += static_cast<char>(0x80U | ((code >> 6) & 63U));
    out += static_cast<char>(0x80U | (code & 63U));
  }
}

/// Text being written while entities open and close over it.
class Builder {
 public:
  explicit Builder(Formatted& out) : out_(out) {}
  std::string& text() { return out_.text; }
  std::int64_t units() {
    counted_ += utf16_length(std::string_view(out_.text).substr(seen_));
    seen_ = out_.text.size();
    return static_cast<std::int64_t>(counted_);
  }
  void add(std::string_view type, std::int64_t from, std::string extra = {}) {
    const std::int64_t length = units() - from;
    if (length > 0) out_.entities.push_back({std::string(type), from, length, std::move(extra)});
  }
  void sort() {
    std::stable_sort(out_.entities.begin(), out_.entities.end(), [](const Entity& a, const Entity& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.length > b.length;
    });
  }

 private:
  Formatted& out_;
  std::size_t seen_ = 0;
  std::size_t counted_ = 0;
};

// HTML

struct OpenTag {
  std::string name;
  std::string type;
  std::string extra;
  std::int64_t from = 0;
};

std::string_view html_entity_type(std::string_view tag) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kTags{
      {{"b", "bold"},
       {"strong", "bold"},
       {"i", "italic"},
       {"em", "italic"},
       {"u", "underline"},
       {"ins", "underline"},
       {"s", "strikethrough"},
       {"strike", "strikethrough"},
       {"del", "strikethrough"},
       {"code", "code"},
       {"pre", "pre"},
       {"a", "text_link"},
       {"tg-spoiler", "spoiler"},
       {"span", "spoiler"},
       {"blockquote", "blockquote"}}};
  for (const auto& [name, type] : kTags) {
    if (name == tag) return type;
  }
  return tag == "tg-emoji" ? "custom_emoji" : std::string_view();
}

/// `&lt;` and its kin; anything else stays as it is.
std::size_t html_escape(std::string_view rest, std::string& out) {
  static constexpr std::array<std::pair<std::string_view, char>, 4> kNames{
      {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}}};
  for (const auto& [name, c] : kNames) {
    if (rest.substr(0, name.size()) == name) {
      out += c;
      return name.size();
    }
  }
  if (rest.substr(0, 2) == "&#") {
    const bool hex = rest.size() > 2 && (rest[2] == 'x' || rest[2] == 'X');
    const auto end = rest.find(';');
    if (end != std::string_view::npos && end < 12) {
      const std::string digits(rest.substr(hex ? 3 : 2, end - (hex ? 3 : 2)));
      char* stop = nullptr;
      const unsigned long code = std::strtoul(digits.c_str(), &stop, hex ? 16 : 10);
      if (!digits.empty() && *stop == 0 && code > 0 && code < 0x110000) {
        append_utf8(out, static_cast<std::uint32_t>(code));
        return end + 1;
      }
    }
  }
  out += '&';
  return 1;
}

std::string html_attribute(std::string_view tag, std::string_view name) {
  const std::string key = " " + std::string(name) + "=";
  const auto at = tag.find(key);
  if (at == std::string_view::npos) return {};
  std::string_view value = tag.substr(at + key.size());
  const char quote = value.empty() ? ' ' : value[0];
  value = quote == '"' || quote == '\'' ? value.substr(1, value.find(quote, 1) - 1)
                                        : value.substr(0, value.find(' '));
  std::string out;
  for (std::size_t i = 0; i < value.size();) {
    if (value[i] == '&') {
      i += html_escape(value.substr(i), out);
    } else {
      out += value[i++];
    }
  }
  return out;
}

std::string open_html(std::string_view tag, std::size_t at, Builder& builder, std::vector<OpenTag>& open) {
  OpenTag opened;
  opened.name = tag.substr(0, tag.find_first_of(" \n"));
  std::transform(opened.name.begin(), opened.name.end(), opened.name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  opened.type = html_entity_type(opened.name);
  if (opened.type.empty() || (opened.name == "span" && html_attribute(tag, "class") != "tg-spoiler")) {
    return cant_parse("Unsupported start tag \"" + opened.name + "\" at byte offset " + std::to_string(at));
  }
  if (opened.name == "a") {
    const std::string url = html_attribute(tag, "href");
    if (url.empty()) opened.type.clear();
    opened.extra = ",\"url\":" + to_json(url);
  } else if (opened.name == "tg-emoji") {
    opened.extra = ",\"custom_emoji_id\":" + to_json(html_attribute(tag, "emoji-id"));
  } else if (opened.name == "blockquote" && tag.find(" expandable") != std::string_view::npos) {
    opened.type = "expandable_blockquote";
  } else if (opened.name == "code" && !open.empty() && open.back().name == "pre") {
    std::string_view language = tag;
    const std::string which = html_attribute(language, "class");
    std::string_view prefix = which;
    if (take_prefix(prefix, "language-")) open.back().extra = ",\"language\":" + to_json(prefix);
    opened.type.clear();
  }
  opened.from = builder.units();
  open.push_back(std::move(opened));
  return {};
}

std::string parse_html(std::string_view source, Formatted& formatted) {
  Builder builder(formatted);
  std::vector<OpenTag> open;
  for (std::size_t i = 0; i < source.size();) {
    if (source[i] == '&') {
      i += html_escape(source.substr(i), builder.text());
      continue;
    }
    if (source[i] != '<') {
      builder.text() += source[i++];
      continue;
    }
    const auto end = source.find('>', i);
    if (end == std::string_view::npos)
      return cant_parse("Unclosed start tag at byte offset " + std::to_string(i));
    const std::string_view tag = source.substr(i + 1, end - i - 1);
    if (tag.empty()) return cant_parse("Unsupported start tag \"\" at byte offset " + std::to_string(i));
    if (tag[0] != '/') {
      if (std::string error = open_html(tag, i, builder, open); !error.empty()) return error;
    } else {
      if (open.empty()) return cant_parse("Unexpected end tag at byte offset " + std::to_string(i));
      OpenTag last = std::move(open.back());
      open.pop_back();
      if (tag.size() > 1 && !same_ignoring_case(tag.substr(1), last.name)) {
        return cant_parse("Unmatched end tag at byte offset " + std::to_string(i) + ", expected \"</" +
                          last.name + ">\", found \"<" + std::string(tag) + ">\"");
      }
      if (!last.type.empty()) builder.add(last.type, last.from, std::move(last.extra));
    }
    i = end + 1;
  }
  if (!open.empty())
    return cant_parse("Can't find end tag corresponding to start tag \"" + open.back().name + "\"");
  builder.sort();
  return {};
}

// Markdown, both kinds

struct OpenMark {
  std::string_view mark;
  std::string_view type;
  std::int64_t from = 0;
  std::size_t at = 0;
};

constexpr std::string_view kReserved = "_*[]()~`>#+-=|{}.!";

/// "(address)" behind a link's text. 0: none there.
std::size_t link_target(std::string_view rest, std::string& url) {
  if (rest.empty() || rest[0] != '(') return 0;
  std::size_t i = 1;
  for (; i < rest.size() && rest[i] != ')'; ++i) {
    if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
    url += rest[i];
  }
  return i < rest.size() ? i + 1 : 0;
}

/// A code span or block beginning at `i`; moves `i` behind it.
std::string take_code(std::string_view source, std::size_t& i, Builder& builder, bool v2) {
  const bool block = source.substr(i, 3) == "```";
  const std::string_view fence = block ? "```" : "`";
  const std::size_t start = i;
  i += fence.size();
  std::string language;
  if (block) {
    std::size_t j = i;
    while (j < source.size() && source[j] != '\n' && source[j] != ' ' && source[j] != '`')
      ++j;
    if (j < source.size() && source[j] == '\n') {
      language = source.substr(i, j - i);
      i = j + 1;
    }
  }
  const std::int64_t from = builder.units();
  while (i < source.size() && source.substr(i, fence.size()) != fence) {
    if (v2 && source[i] == '\\' && i + 1 < source.size()) ++i;
    builder.text() += source[i++];
  }
  if (i >= source.size()) {
    return cant_parse("Can't find end of " + std::string(block ? "Pre" : "Code") + " entity at byte offset " +
                      std::to_string(start));
  }
  i += fence.size();
  builder.add(block ? "pre" : "code", from,
              language.empty() ? std::string() : ",\"language\":" + to_json(language));
  return {};
}

std::string_view mark_at(std::string_view rest, bool v2) {
  if (v2 && (rest.substr(0, 2) == "__" || rest.substr(0, 2) == "||")) return rest.substr(0, 2);
  if (rest[0] == '*' || rest[0] == '_' || (v2 && rest[0] == '~')) return rest.substr(0, 1);
  return {};
}

std::string_view mark_type(std::string_view mark) {
  if (mark == "*") return "bold";
  if (mark == "_") return "italic";
  if (mark == "__") return "underline";
  if (mark == "~") return "strikethrough";
  return "spoiler";
}

std::string parse_markdown(std::string_view source, Formatted& formatted, bool v2) {
  Builder builder(formatted);
  std::vector<OpenMark> open;
  std::int64_t quote_from = -1;
  for (std::size_t i = 0; i < source.size();) {
    const std::string_view rest = source.substr(i);
    const char c = source[i];
    const bool line_start = i == 0 || source[i - 1] == '\n';
    if (quote_from >= 0 && line_start && c != '>') {
      builder.add("blockquote", quote_from);
      quote_from = -1;
    }
    if (c == '\\' && i + 1 < source.size() &&
        (v2 ? static_cast<unsigned char>(source[i + 1]) < 127
            : kReserved.substr(0, 3).find(source[i + 1]) != std::string_view::npos || source[i + 1] == '`')) {
      builder.text() += source[i + 1];
      i += 2;
    } else if (c == '`') {
      if (std::string error = take_code(source, i, builder, v2); !error.empty()) return error;
    } else if (const std::string_view mark = mark_at(rest, v2); !mark.empty()) {
      if (!open.empty() && open.back().mark == mark) {
        builder.add(open.back().type, open.back().from);
        open.pop_back();
      } else {
        open.push_back({mark, mark_type(mark), builder.units(), i});
      }
      i += mark.size();
    } else if (c == '[') {
      open.push_back({"[", "text_link", builder.units(), i});
      ++i;
    } else if (c == ']' && !open.empty() && open.back().mark == "[") {
      std::string url;
      const std::size_t length = link_target(source.substr(i + 1), url);
      if (length > 0) builder.add("text_link", open.back().from, ",\"url\":" + to_json(url));
      open.pop_back();
      i += 1 + length;
    } else if (v2 && c == '>' && line_start) {
      if (quote_from < 0) quote_from = builder.units();
      ++i;
    } else if (v2 && kReserved.find(c) != std::string_view::npos) {
      return cant_parse("Character '" + std::string(1, c) +
                        "' is reserved and must be escaped with the preceding '\\'");
    } else {
      builder.text() += c;
      ++i;
    }
  }
  if (!open.empty()) {
    return cant_parse("Can't find end of " + std::string(open.back().type) + " entity at byte offset " +
                      std::to_string(open.back().at));
  }
  if (quote_from >= 0) builder.add("blockquote", quote_from);
  builder.sort();
  return {};
}

}  // namespace

std::string parse_markup(std::string_view mode, std::string_view source, Formatted& formatted) {
  if (same_ignoring_case(mode, "html")) return parse_html(source, formatted);
  if (same_ignoring_case(mode, "markdownv2")) return parse_markdown(source, formatted, true);
  if (same_ignoring_case(mode, "markdown")) return parse_markdown(source, formatted, false);
  return "unsupported parse_mode";
}

}  // namespace sandbox
