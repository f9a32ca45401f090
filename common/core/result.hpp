#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace katana {

/// What the caller can do about a failure, not where it came from.
/// Foreign errors (curl, SQLite, Telegram, a provider) are translated to one of these once, in their adapter.
enum class Code {
  Network,      ///< no connection, or it broke: try again with back-off
  Timeout,      ///< no answer in time: try again with back-off
  RateLimited,  ///< try again after `retry_after`
  Overloaded,   ///< the other side is busy: try again with back-off
  Auth,         ///< key or token refused: an operator must act
  Quota,        ///< budget or credit used up: an operator must act
  Rejected,     ///< the other side understood and refused: do not repeat it
  Malformed,    ///< bytes that break their protocol or format
  Cancelled,    ///< somebody asked for it to stop
  Internal,     ///< our own fault, or this machine's (disk full)
};

/// All of them, in their order.
inline constexpr std::array kCodes{Code::Network,   Code::Timeout, Code::RateLimited, Code::Overloaded,
                                   Code::Auth,      Code::Quota,   Code::Rejected,    Code::Malformed,
                                   Code::Cancelled, Code::Internal};

/// The code's name as it stands in logs and metrics: `rate_limited`.
std::string_view to_string(Code code);

/// A failure as a value. `detail` is for logs and operators; it holds no secret and no user's text.
struct Error {
  Code code = Code::Internal;
  std::string detail;
  std::optional<std::chrono::milliseconds> retry_after{};
  /// True when the request provably never left this machine (DNS, connect, TLS): repeating it is safe.
  bool never_left = false;

  /// True for failures that pass by themselves.
  [[nodiscard]] bool transient() const {
    return code == Code::Network || code == Code::Timeout || code == Code::RateLimited ||
           code == Code::Overloaded;
  }
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(Code::Malformed, "line 3: ...")` in a function that returns a Result.
inline tl::unexpected<Error> fail(Code code, std::string detail) {
  return tl::unexpected<Error>(Error{code, std::move(detail)});
}
inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

/// The same failure with what was being done in front, outermost first: `opening the store: disk full`.
Error with_context(Error error, std::string_view doing);

}  // namespace katana
