#pragma once

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>

namespace katana {

/// Writes one JSON value from front to back, straight into a string: a prompt of a hundred turns takes no
/// allocation of its own. Commas come by themselves; that the calls make sense together is the caller's
/// business. Text that isn't UTF-8 is sanitised: Telegram refuses a whole call for one bad byte.
class JsonWriter {
 public:
  explicit JsonWriter(std::size_t expected) { out_.reserve(expected); }

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);  ///< a name of ours, without anything to escape
  JsonWriter& value(std::string_view text) { return begin_text().text(text).end_text(); }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(bool truth);
  template <std::integral Number>
  JsonWriter& value(Number number) {
    separate();
    char digits[24];
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    return *this;
  }

  /// One string in pieces.
  JsonWriter& begin_text() { return open('"'); }
  JsonWriter& text(std::string_view piece);
  JsonWriter& end_text() { return close('"'); }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  void separate();

  std::string out_;
};

}  // namespace katana
