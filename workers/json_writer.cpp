#include "workers/json_writer.hpp"

#include <simdjson.h>

#include "common/core/text.hpp"

namespace katana::workers {
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

JsonWriter& JsonWriter::begin_text() {
  return open('"');
}

JsonWriter& JsonWriter::text(std::string_view piece) {
  if (!simdjson::validate_utf8(piece.data(), piece.size())) return text(text::sanitize(piece));
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

JsonWriter& JsonWriter::value(std::string_view text_value) {
  return begin_text().text(text_value).end_text();
}

JsonWriter& JsonWriter::value(std::uint64_t number) {
  separate();
  out_ += std::to_string(number);
  return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
  separate();
  out_ += truth ? "true" : "false";
  return *this;
}

}  // namespace katana::workers
