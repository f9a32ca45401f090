#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace katana::workers {

/// Writes one JSON text from front to back, straight into a string: a prompt of a hundred turns takes no
/// allocation of its own. Commas come by themselves; that the calls make sense together is the caller's
/// business. Text that is no UTF-8 is sanitised.
class JsonWriter {
 public:
  explicit JsonWriter(std::size_t expected) { out_.reserve(expected); }

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);  ///< a name of ours, without anything to escape
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(std::uint64_t number);
  JsonWriter& value(bool truth);

  /// One string in pieces.
  JsonWriter& begin_text();
  JsonWriter& text(std::string_view piece);
  JsonWriter& end_text() { return close('"'); }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  void separate();

  std::string out_;
};

}  // namespace katana::workers
