#include "gateway/outbound/character_reference.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace katana::gateway::markdown {
namespace {

void append_utf8(std::string& out, std::uint32_t c) {
  if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

}  // namespace

std::string decode_reference(std::string_view s) {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 16> kNames{{
      {"amp", '&'},
      {"lt", '<'},
      {"gt", '>'},
      {"quot", '"'},
      {"apos", '\''},
      {"nbsp", 0xA0},
      {"copy", 0xA9},
      {"reg", 0xAE},
      {"deg", 0xB0},
      {"times", 0xD7},
      {"ndash", 0x2013},
      {"mdash", 0x2014},
      {"hellip", 0x2026},
      {"rarr", 0x2192},
      {"bull", 0x2022},
      {"trade", 0x2122},
  }};
  std::string out;
  const std::string_view body = s.substr(1, s.size() - 2);
  if (!body.empty() && body[0] == '#') {
    const bool hex = body.size() > 1 && (body[1] == 'x' || body[1] == 'X');
    std::uint32_t value = 0;
    for (const char c : body.substr(hex ? 2 : 1)) {
      const int digit = c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0';
      value = value * (hex ? 16U : 10U) + static_cast<std::uint32_t>(digit);  // md4c allows at most 7 digits
    }
    append_utf8(out, value < 0x20 || value == 0x7F ? 0x20 : value);
    return out;
  }
  for (const auto& [name, value] : kNames) {
    if (body != name) continue;
    append_utf8(out, value);
    return out;
  }
  return std::string(s);
}

}  // namespace katana::gateway::markdown
