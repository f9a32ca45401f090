#include "common/core/result.hpp"

namespace katana {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::Network:
      return "network";
    case Code::Timeout:
      return "timeout";
    case Code::RateLimited:
      return "rate_limited";
    case Code::Overloaded:
      return "overloaded";
    case Code::Auth:
      return "auth";
    case Code::Quota:
      return "quota";
    case Code::Rejected:
      return "rejected";
    case Code::Malformed:
      return "malformed";
    case Code::Cancelled:
      return "cancelled";
    case Code::Internal:
      return "internal";
  }
  return "internal";
}

Error with_context(Error error, std::string_view doing) {
  error.detail = std::string(doing) + ": " + error.detail;
  return error;
}

}  // namespace katana
