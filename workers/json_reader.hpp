#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "common/core/text.hpp"

/// simdjson for the providers' sources; no header of another room includes this.
namespace katana::workers::json {

using Document = simdjson::ondemand::document;
using Object = simdjson::ondemand::object;
template <class T>
using Found = simdjson::simdjson_result<T>;

/// One parser, whose memory all streams of a process share: nothing read from a document may be kept beyond
/// the event.
class Reader {
 public:
  /// `data` has `kSsePadding` readable bytes behind its end.
  Found<Document> read(std::string_view data) {
    return parser_.iterate(data.data(), data.size(), data.size() + simdjson::SIMDJSON_PADDING);
  }
  /// Any bytes.
  Found<Document> read_copy(std::string_view data) {
    copy_ = simdjson::padded_string(data);
    return parser_.iterate(copy_);
  }

 private:
  simdjson::ondemand::parser parser_;
  simdjson::padded_string copy_;
};

/// The string there, or empty: absent, null and other types count as absent.
template <class T>
std::string_view string_or_empty(Found<T> value) {
  std::string_view out;
  if (value.get_string().get(out) != simdjson::SUCCESS) return {};
  return out;
}

/// Sets `out` if a count stands there; providers leave some out or null.
template <class T>
void count(Found<T> value, std::uint64_t& out) {
  std::uint64_t n = 0;
  if (value.get_uint64().get(n) == simdjson::SUCCESS) out = n;
}

/// Appends answer text. The reader lets a lone half of a surrogate pair through, which is no UTF-8.
inline void append(std::string& text, std::string_view piece) {
  if (text::is_valid_utf8(piece)) {
    text += piece;
  } else {
    text += text::sanitize(piece);
  }
}

}  // namespace katana::workers::json
