#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "loop.hpp"

namespace sandbox {

struct Header {
  std::string_view name;
  std::string_view value;
};

/// One request as it came in. Everything points into the connection's buffer and is good until the handler
/// returns.
struct Request {
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::vector<Header> headers;
  std::string_view body;
  bool keep_alive = true;
  bool old_http = false;  ///< HTTP/1.0: no chunks
  Nanos received = 0;
  std::uint64_t record = 0;  ///< its number in the record; 0 = not recorded

  /// Empty when absent; names without regard to case.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

bool same_ignoring_case(std::string_view a, std::string_view b);
/// Is `prefix` at the start? If so it is cut off.
bool take_prefix(std::string_view& text, std::string_view prefix);

/// What a head says about the bytes that follow it.
struct Framing {
  std::size_t head_size = 0;
  std::size_t content_length = 0;
  bool chunked = false;
  bool expects_continue = false;
};

enum class Parse { Incomplete, Done, Bad, TooLarge };

constexpr std::size_t kMaxHead = 64U << 10;
constexpr std::size_t kMaxBody = 100U << 20;

/// Reads request line and headers from the start of `input`. Done: `request` and `framing` are filled.
Parse parse_head(std::string_view input, Request& request, Framing& framing);

/// Undoes chunked transfer coding, any number of bytes at a time.
class Dechunker {
 public:
  /// Uses up to all of `input`, tells how much, and appends the payload to `body`.
  Parse feed(std::string_view input, std::size_t& used, std::string& body);
  void reset() { *this = Dechunker(); }

 private:
  enum class State { Size, Extension, SizeEnd, Data, DataEnd, DataEndLf, Trailer, TrailerLine, TrailerEnd };
  State state_ = State::Size;
  std::size_t left_ = 0;
  int digits_ = 0;
};

/// Percent- and plus-decoding, as of a query or a form.
std::string url_decode(std::string_view text, bool plus_is_space = true);
/// The value of one name in a query string, decoded.
std::string query_value(std::string_view query, std::string_view name);

}  // namespace sandbox
