#pragma once

#include <string>

#include "common/core/result.hpp"

namespace katana::bus {

/// Where a socket binds or connects: `ipc://PATH` or `tcp://HOST:PORT`, checked before ZeroMQ sees it.
struct Endpoint {
  enum class Use { Bind, Connect };
  enum class Kind { Ipc, Tcp } kind = Kind::Ipc;
  std::string path;  ///< Ipc alone
  std::string text;  ///< as it was given

  [[nodiscard]] bool needs_keys() const { return kind == Kind::Tcp; }
};

/// The error (Rejected) quotes the endpoint and names the mend.
Result<Endpoint> parse_endpoint(const std::string& text, Endpoint::Use use);

/// Before an ipc bind: takes away the file that a dead process left. Refuses when somebody answers on it
/// (ZeroMQ would silently take the path over), or when the path is something else than a socket.
Result<void> clear_stale_socket(const std::string& path);

/// After an ipc bind: mode 0660, for the owner and the group of the directory's choosing.
Result<void> restrict_socket(const std::string& path);

}  // namespace katana::bus
