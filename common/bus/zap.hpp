#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include <zmq.hpp>

#include "common/bus/socket_watch.hpp"
#include "common/core/result.hpp"
#include "common/loop/loop.hpp"

namespace katana::bus {

/// The doorkeeper of a context: answers ZeroMQ's question whether a peer's key may come in (ZAP,
/// rfc.zeromq.org/27), on the loop. Without one CURVE admits any key. Owned by the bus from before the first
/// keyed socket binds.
///
/// Each admitted key gets a user id that every message of its connections carries; it stays the same across
/// connections and reloads. A key that a reload took away is refused at the next message, not only at the
/// next hello.
class Zap {
 public:
  static constexpr const char* kDomain = "katana";

  static Result<std::unique_ptr<Zap>> open(zmq::context_t& context, loop::Loop& loop,
                                           const std::filesystem::path& directory);

  /// Reads `authorized/` again; on an error the keys stay as they were.
  Result<void> reload();
  [[nodiscard]] bool admits(std::string_view user) const { return admitted_.find(user) != admitted_.end(); }
  [[nodiscard]] std::uint64_t denied() const { return denied_; }

 private:
  Zap(zmq::context_t& context, loop::Loop& loop, std::filesystem::path directory);
  bool answer_one();
  /// The user id of an authorized key, or empty.
  [[nodiscard]] std::string user_of(const std::string& key) const;

  std::filesystem::path directory_;
  std::map<std::string, std::string> users_;     ///< every key ever authorized -> its user id
  std::set<std::string, std::less<>> admitted_;  ///< user ids that may come in now
  std::uint64_t denied_ = 0;
  zmq::socket_t socket_;
  SocketWatch watch_;
};

}  // namespace katana::bus
