#include "common/core/json_writer.hpp"

#include "common/core/text.hpp"

namespace katana {
namespace {

bool plain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
}

void escape(char c, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[c & 15];
  }
}

}  // namespace

/// A value or a key follows another unless something was just opened.
void JsonWriter::separate() {
  if (!out_.empty() && out_.back() != '{' && out_.back() != '[' && out_.back() != ':') out_ += ',';
}

JsonWriter& JsonWriter::open(char c) {
  separate();
  out_ += c;
  return *this;
}

JsonWriter& JsonWriter::close(char c) {
  out_ += c;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  open('"');
  out_ += name;
  out_ += "\":";
  return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
  separate();
  out_ += truth ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view piece) {
  if (!text::is_valid_utf8(piece)) return text(text::sanitize(piece));
  std::size_t from = 0;
  for (std::size_t i = 0; i < piece.size(); ++i) {
    if (plain(piece[i])) continue;
    out_.append(piece, from, i - from);
    escape(piece[i], out_);
    from = i + 1;
  }
  out_.append(piece, from);
  return *this;
}

}  // namespace katana
