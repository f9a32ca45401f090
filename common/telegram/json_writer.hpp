#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/core/text.hpp"

namespace katana::telegram {

/// Writes one JSON value, front to back, into a string that it grows. The caller keeps braces balanced. Text
/// that isn't UTF-8 is mended, since Telegram refuses the whole call for one bad byte.
class JsonWriter {
 public:
  explicit JsonWriter(std::size_t expected) { out_.reserve(expected); }

  JsonWriter& open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  /// `name` is our own and needs no escaping.
  JsonWriter& key(std::string_view name) {
    comma();
    out_ += '"';
    out_ += name;
    out_ += "\":";
    first_ = true;
    return *this;
  }
  JsonWriter& value(std::int64_t number) {
    comma();
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    out_.append(digits, end);
    return *this;
  }
  JsonWriter& value(bool truth) {
    comma();
    out_ += truth ? "true" : "false";
    return *this;
  }
  JsonWriter& value(std::string_view text) {
    comma();
    out_ += '"';
    if (text::is_valid_utf8(text)) {
      escaped(text);
    } else {
      escaped(text::sanitize(text));
    }
    out_ += '"';
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  void escaped(std::string_view text) {
    std::size_t from = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      out_.append(text.substr(from, i - from));
      from = i + 1;
      escape(c);
    }
    out_.append(text.substr(from));
  }
  void escape(unsigned char c) {
    switch (c) {
      case '"':
        out_ += "\\\"";
        break;
      case '\\':
        out_ += "\\\\";
        break;
      case '\n':
        out_ += "\\n";
        break;
      case '\t':
        out_ += "\\t";
        break;
      default:
        out_ += "\\u00";
        out_ += "0123456789abcdef"[c >> 4];
        out_ += "0123456789abcdef"[c & 15];
    }
  }

  std::string out_;
  bool first_ = true;  ///< nothing stands before the next value
};

}  // namespace katana::telegram
