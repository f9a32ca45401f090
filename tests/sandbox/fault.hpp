#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"
#include "loop.hpp"

namespace sandbox {

/// One scripted misfortune of a Bot API call.
struct Fault {
  enum class Kind { Status, TooMany, CloseBefore, CloseAfter, Delay, Hang, Malformed, BadGateway };
  std::string method;      ///< lower case; empty: any
  std::int64_t chat = 0;   ///< 0: any
  std::int64_t skip = 0;   ///< let this many matching calls pass first
  std::int64_t count = 1;  ///< -1: for ever
  Kind kind = Kind::Status;
  int status = 500;
  int retry_after = 1;
  Nanos delay = 0;
  bool took = false;  ///< hang: the call is carried out, only its answer never comes
  std::string description;
  std::string parameters;
  std::string bot;  ///< id; empty: any
};

/// The faults that wait for their calls, in the order they were given.
class Faults {
 public:
  /// An error text, or empty.
  std::string add(Json spec);
  /// The first that fits, its count taken down; nullptr: none.
  const Fault* take(std::string_view method, std::int64_t chat, std::int64_t bot);
  bool empty() const { return faults_.empty(); }
  std::size_t size() const { return faults_.size(); }
  void clear() { faults_.clear(); }

 private:
  std::vector<Fault> faults_;
  Fault taken_;
};

}  // namespace sandbox
