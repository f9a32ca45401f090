#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "common/core/clock.hpp"

namespace katana::net {

/// What a server showed for itself when we last connected to it anew.
struct Certificate {
  std::string endpoint;  ///< `https://host:port`, or a mail server's
  Wall expires{};
};

/// The certificates of the servers that this process talks to. Pure; owned by CurlClient. At most kMost, and
/// none that was not seen for kKept: connections live for kConnectionLife, so that an endpoint in use is
/// seen again long before.
class Certificates {
 public:
  static constexpr std::size_t kMost = 64;
  static constexpr Seconds kKept{48 * 3600};
  static constexpr Seconds kConnectionLife{12 * 3600};

  void saw(const std::string& endpoint, Wall expires, Mono now);
  /// The first one to expire.
  [[nodiscard]] std::optional<Certificate> earliest(Mono now) const;

 private:
  struct Seen {
    Wall expires{};
    Mono at{};
  };
  std::map<std::string, Seen> seen_;
};

}  // namespace katana::net
