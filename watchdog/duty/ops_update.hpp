#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

namespace katana::watchdog {

/// What somebody did with the alert bot: pressed one of our buttons, or wrote to it. Nothing else that
/// Telegram tells is of interest. No name is kept.
struct OpsUpdate {
  std::int64_t update_id = 0;
  std::int64_t user = 0;  ///< who; 0: Telegram doesn't tell
  std::int64_t chat = 0;  ///< where
  std::int64_t message = 0;
  std::string callback;  ///< a pressed button's query; empty: it is a message
  std::string words;     ///< the message's text, or the button's data
  Wall at{};             ///< when a message was written; of no meaning for a button
};

/// All updates of a getUpdates answer, those of no interest with `user` 0: their ids have to be confirmed
/// too.
Result<std::vector<OpsUpdate>> parse_ops_updates(std::string_view json);

}  // namespace katana::watchdog
