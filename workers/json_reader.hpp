#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "common/core/text.hpp"
#include "workers/sse.hpp"

/// simdjson for the providers' sources; no header of another room includes this.
///
/// Its DOM, not its on-demand reader: that one may not be touched again after an error in the document (3.0.1
/// then reads anywhere), and picks its code for the machine it was built on. Parsing an event takes some 0.3
/// µs either way.
namespace katana::workers::json {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;
using Array = simdjson::dom::array;
using Found = simdjson::simdjson_result<Element>;

/// One parser, whose memory all streams of a process share: what was read from an event goes with the next
/// one.
class Reader {
 public:
  /// `data` has `kSsePadding` readable bytes behind its end.
  Found read(std::string_view data) { return parser_.parse(data.data(), data.size(), false); }
  /// Any bytes.
  Found read_copy(std::string_view data) {
    if (data.empty()) return simdjson::EMPTY;
    return parser_.parse(data.data(), data.size(), true);
  }

 private:
  simdjson::dom::parser parser_;
};
static_assert(kSsePadding >= simdjson::SIMDJSON_PADDING);

/// The string there, or empty: absent, null and other types count as absent.
inline std::string_view string_or_empty(const Found& value) {
  std::string_view out;
  return value.get_string().get(out) == simdjson::SUCCESS ? out : std::string_view();
}

/// Sets `out` if a count stands there; providers leave some out or null.
inline void count(const Found& value, std::uint64_t& out) {
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
