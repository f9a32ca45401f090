#include "common/core/text.hpp"

#include <cstdint>

#include <simdjson.h>

namespace katana::text {
namespace {

unsigned char byte_at(std::string_view s, std::size_t i) {
  return static_cast<unsigned char>(s[i]);
}

/// Length of the sequence that a lead byte announces; 0 for a byte that can't lead.
std::size_t announced(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

/// True when `second` may follow `lead`: this is where overlong forms, surrogates and > U+10FFFF show.
bool second_fits(unsigned char lead, unsigned char second) {
  if (second < 0x80 || second > 0xBF) return false;
  if (lead == 0xE0) return second >= 0xA0;
  if (lead == 0xED) return second <= 0x9F;
  if (lead == 0xF0) return second >= 0x90;
  if (lead == 0xF4) return second <= 0x8F;
  return true;
}

/// Bytes of the well-formed sequence at `i`, or 0.
std::size_t well_formed(std::string_view s, std::size_t i) {
  const std::size_t n = announced(byte_at(s, i));
  if (n == 0 || i + n > s.size()) return 0;
  if (n > 1 && !second_fits(byte_at(s, i), byte_at(s, i + 1))) return 0;
  for (std::size_t k = 2; k < n; ++k) {
    if ((byte_at(s, i + k) & 0xC0) != 0x80) return 0;
  }
  return n;
}

}  // namespace

std::size_t utf16_length(std::string_view utf8) {
  std::size_t units = 0;
  for (const char c : utf8) {
    const auto b = static_cast<unsigned char>(c);
    if ((b & 0xC0) != 0x80) units += b >= 0xF0 ? 2 : 1;
  }
  return units;
}

std::size_t prefix_of_utf16(std::string_view utf8, std::size_t units) {
  std::size_t i = 0;
  std::size_t used = 0;
  while (i < utf8.size()) {
    const unsigned char lead = byte_at(utf8, i);
    const std::size_t cost = lead >= 0xF0 ? 2 : 1;
    if (used + cost > units) break;
    std::size_t next = i + 1;
    while (next < utf8.size() && (byte_at(utf8, next) & 0xC0) == 0x80)
      ++next;
    used += cost;
    i = next;
  }
  return i;
}

bool is_valid_utf8(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

std::string sanitize(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::size_t i = 0;
  while (i < bytes.size()) {
    const std::size_t n = well_formed(bytes, i);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out.append(bytes.substr(i, n));
      i += n;
    }
  }
  return out;
}

std::size_t incomplete_tail(std::string_view bytes) {
  for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const unsigned char b = byte_at(bytes, bytes.size() - back);
    if ((b & 0xC0) == 0x80) continue;
    const std::size_t n = announced(b);
    if (n <= back) return 0;
    if (back > 1 && !second_fits(b, byte_at(bytes, bytes.size() - back + 1))) return 0;
    return back;
  }
  return 0;
}

std::string shorten(std::string_view utf8, std::size_t units) {
  if (utf16_length(utf8) <= units) return std::string(utf8);
  if (units == 0) return {};
  return std::string(utf8.substr(0, prefix_of_utf16(utf8, units - 1))) + "…";
}

std::string one_line(std::string_view utf8) {
  std::string out(utf8);
  for (char& c : out) {
    const auto b = static_cast<unsigned char>(c);
    if (b < 0x20 || b == 0x7F) c = ' ';
  }
  return out;
}

std::string_view trim(std::string_view s) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const auto from = s.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return s.substr(from, s.find_last_not_of(kBlank) - from + 1);
}

}  // namespace katana::text
