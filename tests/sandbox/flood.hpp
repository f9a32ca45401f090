#pragma once

#include <cstdint>
#include <unordered_map>

#include "loop.hpp"

namespace sandbox {

/// Telegram's flood control for one bot, as far as it is known: 30 calls a second for the bot, about one a
/// second in a chat with a small burst, 20 a minute in a group; every call in a penalty prolongs it. Edits
/// and typing count too.
class Flood {
 public:
  /// 0: allowed. Otherwise the seconds of `retry_after`.
  int charge(std::int64_t chat, Nanos now);
  void clear();
  std::uint64_t refusals() const { return refusals_; }

 private:
  struct Bucket {
    double level = 0;
    Nanos at = 0;
    Nanos penalty_until = 0;
  };
  static bool pour(Bucket& bucket, double per_second, double burst, Nanos now);
  Bucket bot_;
  std::unordered_map<std::int64_t, Bucket> chats_;
  std::uint64_t refusals_ = 0;
};

}  // namespace sandbox
