#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/core/result.hpp"
#include "common/service/metrics.hpp"
#include "gateway/inbound/update.hpp"
#include "gateway/spend.hpp"

namespace katana::gateway {

/// The gateway's metrics. Owned by Gateway. What may go wrong some day stands there from the start, at 0: a
/// series that is born with its first error shows Prometheus no increase.
struct Counters {
  explicit Counters(service::Metrics& metrics);

  /// Telegram handed it out; it may be one that was seen before.
  void update(const Update& update) { updates[update.body.index()].add(); }
  void ignored(const std::string& why);
  void job_failed(const std::string& provider, Code code);
  /// A call to Telegram. A 429 counts what it asks us to wait, too.
  void telegram_failed(const Error& error);
  /// Of the disk that the store is on; nothing where that can't be told.
  void look_at_disk(const std::string& place);

  service::Metrics& metrics;
  Spend spend;
  std::array<service::Counter, std::variant_size_v<decltype(Update::body)>> updates;
  std::array<service::Counter, kCodes.size()> telegram_errors;
  std::map<std::string, std::array<service::Counter, kCodes.size()>> job_failures;  ///< by provider
  service::Counter questions, duplicates, stale, delivered, abandoned, flood_wait;
  service::Histogram first_text_seconds, answer_seconds;
  service::Gauge queue, in_flight, oldest_wait, dead_letters, outbox, claude_workers, openai_workers, polling,
      poll_lag, store_ok, disk_free, disk_size, watchdog;
  std::uint64_t answered = 0;
};

}  // namespace katana::gateway
