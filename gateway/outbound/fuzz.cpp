#include "gateway/outbound/fuzz.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/core/text.hpp"
#include "gateway/outbound/composer.hpp"
#include "gateway/outbound/entities.hpp"
#include "gateway/outbound/unfinished.hpp"

namespace katana::gateway::fuzz {
namespace {

bool is_blank(char16_t c) {
  return c == ' ' || c == '\n' || c == '\t';
}

std::u16string utf16_of(std::string_view s) {
  std::u16string out;
  for (std::size_t i = 0; i < s.size();) {
    const auto lead = static_cast<unsigned char>(s[i++]);
    std::uint32_t c = lead < 0x80   ? lead
                      : lead < 0xE0 ? lead & 0x1F
                      : lead < 0xF0 ? lead & 0x0F
                                    : lead & 0x07;
    while (i < s.size() && (static_cast<unsigned char>(s[i]) & 0xC0) == 0x80) {
      c = (c << 6) | (static_cast<unsigned char>(s[i++]) & 0x3F);
    }
    if (c >= 0x10000) {
      out += static_cast<char16_t>(0xD7C0 + (c >> 10));
      out += static_cast<char16_t>(0xDC00 + (c & 0x3FF));
    } else {
      out += static_cast<char16_t>(c);
    }
  }
  return out;
}

bool is_code(const telegram::Entity& e) {
  return e.type == "code" || e.type == "pre";
}
bool low_surrogate(char16_t c) {
  return c >= 0xDC00 && c < 0xE000;
}

std::string flaw_of_entity(const std::u16string& text, const telegram::Entity& e) {
  if (e.length == 0) return "an empty entity";
  if (e.offset + e.length > text.size()) return "an entity outside the text";
  const std::size_t end = e.offset + e.length;
  if (low_surrogate(text[e.offset]) || (end < text.size() && low_surrogate(text[end]))) return "a split pair";
  if (is_blank(text[end - 1])) return "blanks at an entity's end";
  if (is_blank(text[e.offset]) && e.type != "pre" && e.type != "blockquote")
    return "blanks at an entity's start";
  if ((e.type == "text_link") == e.url.empty())
    return "a link without an address, or an address without a link";
  return {};
}

}  // namespace

std::string flaw_of(const markdown::Formatted& f, std::size_t max_units) {
  if (!text::is_valid_utf8(f.text)) return "invalid UTF-8";
  const std::u16string text = utf16_of(f.text);
  if (text.size() > max_units) return "too long: " + std::to_string(text.size());
  if (!text.empty() && is_blank(text.back())) return "blanks at the end";
  const bool code_first = !f.entities.empty() && f.entities[0].offset == 0 && is_code(f.entities[0]);
  if (!text.empty() && is_blank(text.front()) && !code_first) {
    const bool quoted_code = f.entities.size() > 1 && f.entities[1].offset == 0 && is_code(f.entities[1]);
    if (!quoted_code) return "blanks at the start";
  }
  if (f.entities.size() > markdown::kMaxEntities) return "too many entities";
  std::vector<const telegram::Entity*> open;
  const telegram::Entity* before = nullptr;
  for (const telegram::Entity& e : f.entities) {
    if (std::string flaw = flaw_of_entity(text, e); !flaw.empty()) return flaw;
    if (before != nullptr && e.offset < before->offset) return "entities out of order";
    before = &e;
    while (!open.empty() && open.back()->offset + open.back()->length <= e.offset)
      open.pop_back();
    for (const telegram::Entity* outer : open) {
      if (e.offset + e.length > outer->offset + outer->length) return e.type + " crosses " + outer->type;
      if (is_code(*outer)) return e.type + " inside " + outer->type;
      if (outer->type == e.type) return e.type + " inside itself";
    }
    open.push_back(&e);
  }
  return {};
}

std::string check_markdown(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (std::string flaw = flaw_of(markdown::render(bytes), static_cast<std::size_t>(-1)); !flaw.empty())
    return flaw;
  for (const bool growing : {false, true}) {
    const markdown::Whole whole = markdown::make_whole(markdown::clean(bytes), growing);
    if (whole.source.size() > size * 5 + 16) return "an unfinished piece became longer than it should";
    const std::string flaw = flaw_of(markdown::render(whole.source), static_cast<std::size_t>(-1));
    if (!flaw.empty()) return "unfinished: " + flaw;
  }
  return {};
}

std::string check_composer(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Composer whole;
  whole.append(bytes);
  whole.finish("footer");

  Composer sliced;
  std::vector<markdown::Formatted> frozen;
  std::size_t at = 0;
  while (at < size) {
    const std::size_t n = std::min<std::size_t>(size - at, 1 + data[at] % 97);
    sliced.append(bytes.substr(at, n));
    at += n;
    if (sliced.count() < frozen.size()) return "a part went away";
    for (std::size_t k = 0; k < sliced.count(); ++k) {
      const markdown::Formatted& part = sliced.part(k);
      if (std::string flaw = flaw_of(part, Composer::kMaxUnits); !flaw.empty())
        return "part while growing: " + flaw;
      if (k < frozen.size() && frozen[k] != part) return "a part before the last changed";
      if (k == frozen.size() && sliced.frozen(k)) frozen.push_back(part);
    }
  }
  sliced.finish("footer");
  if (sliced.count() != whole.count()) return "parts depend on the slices";
  for (std::size_t k = 0; k < whole.count(); ++k) {
    if (whole.part(k) != sliced.part(k)) return "a part depends on the slices";
    if (whole.part(k).text.empty()) return "an empty part";
    if (std::string flaw = flaw_of(whole.part(k), Composer::kMaxUnits); !flaw.empty()) return "part: " + flaw;
    const std::string plain = whole.plain(k);
    if (plain.empty() || text::utf16_length(plain) > Composer::kMaxUnits)
      return "plain text of a wrong length";
  }
  return {};
}

}  // namespace katana::gateway::fuzz
