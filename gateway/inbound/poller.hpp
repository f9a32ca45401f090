#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"
#include "common/telegram/bot_api.hpp"
#include "gateway/inbound/update.hpp"

namespace katana::gateway {

/// Gets updates from Telegram by long polling: one poll at a time, the next one only when the batch before is
/// durable, so that an update is never confirmed before it is committed. Recovers from everything by itself;
/// what it can't mend it says through `trouble()`, which /health and the heartbeat carry to the watchdog.
///
/// A state machine without timers of its own: whoever owns it calls `wake` at `due()`. Loop thread only.
class Poller {
 public:
  /// `accept` commits a batch and calls back with success once it is durable.
  struct Events {
    std::function<void(std::vector<Update>, std::function<void(Result<void>)>)> accept;
    std::function<void()> changed;  ///< `due()` may be another now
    /// Who we are, which decides whom a mention addresses: asked for until it is known, and before the first
    /// update is taken. Empty: nobody needs to know.
    std::function<void(const telegram::BotUser&)> introduced{};
    /// Why nothing could be stored; unset: it could. Until then nothing is asked for. May be empty.
    std::function<std::optional<Error>()> store_trouble{};
    /// Telegram, or the way to it, let a call fail. May be empty.
    std::function<void(const Error&)> failed{};
  };

  Poller(telegram::BotApi& api, const Clock& clock, Events events);

  void start();
  /// No further poll; the one under way is dropped (what it would have brought stays at Telegram).
  void stop();
  /// Tries again at once, whatever it was waiting for (SIGHUP).
  void retry_now();
  void wake();
  [[nodiscard]] std::optional<Mono> due() const { return due_; }

  /// True while polling goes well or has not failed yet.
  [[nodiscard]] bool active() const { return state_ != State::Stopped && trouble_.empty(); }
  /// Why updates don't come, and what to do; empty when they do.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  /// Since when `trouble()` has been there without a break.
  [[nodiscard]] std::optional<Mono> trouble_since() const { return trouble_since_; }
  [[nodiscard]] std::optional<Mono> last_success() const { return last_success_; }
  [[nodiscard]] Mono last_attempt_end() const { return last_attempt_end_; }
  [[nodiscard]] std::uint64_t polls() const { return polls_; }

 private:
  enum class State { Stopped, Introducing, Polling, Committing, ClearingWebhook, Waiting };

  void introduce();
  void poll();
  void on_answer(telegram::ApiResult<telegram::RawUpdates> answer);
  void on_failure(const telegram::ApiError& error);
  void commit(std::vector<Update> updates);
  void well();
  void store_fails(const Error& error);
  void clear_webhook();
  void wait(Millis delay, std::string trouble);
  void to(State state);

  telegram::BotApi& api_;
  const Clock& clock_;
  Events events_;
  UpdateParser parser_;
  net::HttpCall call_;
  State state_ = State::Stopped;
  bool introduced_ = false;
  bool waits_ = false;  ///< the poll under way is a long one
  std::optional<Mono> due_;
  std::int64_t offset_ = 0;
  int batch_ = 100;  ///< updates to ask for at the most
  Backoff backoff_{Millis{500}, Millis{30'000}};
  Backoff store_backoff_{Millis{500}, Millis{2'000}};
  Backoff conflict_backoff_{Millis{5'000}, Millis{60'000}};
  std::optional<Mono> cleared_at_;  ///< a webhook that was in the way
  std::string trouble_;
  std::optional<Mono> trouble_since_;
  std::optional<Mono> last_success_;
  Mono last_attempt_end_;
  std::uint64_t polls_ = 0;
};

}  // namespace katana::gateway
