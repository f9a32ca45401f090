#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/result.hpp"
#include "common/loop/loop.hpp"
#include "common/net/curl_client.hpp"
#include "common/telegram/bot_api.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// What a provider says of itself to somebody whose key it takes.
struct ProviderAnswer {
  std::vector<std::string> models;  ///< ids that this key may use; empty: it doesn't tell
  std::optional<Wall> clock;        ///< its own, in whole seconds
};

/// What the command needs of the network, one call after another: each runs a loop until its answer is there.
/// For the command-line program alone.
class Try {
 public:
  Try() : http_(loop_) {}

  Result<telegram::BotUser> bot(const telegram::BotAccess& access);
  /// The raw answer of getUpdates.
  Result<std::string> updates(const telegram::BotAccess& access, std::int64_t offset, Seconds wait);
  /// Whether the provider at `base_url` takes the key: it is asked for its list of models, which costs
  /// nothing.
  Result<ProviderAnswer> key(const std::string& provider, const std::string& base_url, const Secret& key,
                             const Secret& proxy);
  /// One notice through every channel of the settings; a line a channel.
  std::vector<std::pair<std::string, Result<Receipt>>> send(const config::Settings& settings,
                                                            const Notice& notice);

 private:
  /// Runs the loop until `done` is true; false when that took over a minute.
  bool until(const bool& done);

  loop::Loop loop_;
  net::CurlClient http_;
};

/// A notice of the command's own, for `alert-test`, `init` and `check-heartbeat --alert`.
Notice notice_of(NoticeKind kind, const std::string& where, const std::string& title,
                 const std::string& effect);

}  // namespace katana::watchdog
