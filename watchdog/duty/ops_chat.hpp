#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "common/telegram/bot_api.hpp"
#include "watchdog/duty/desk.hpp"
#include "watchdog/duty/ops_update.hpp"

namespace katana::watchdog {

/// The alert bot's ears: polls it (nobody else may), and does what listed users ask by button or command, in
/// the ops chat or in their private chat with the bot. Everybody else is logged by id and gets no answer.
/// Answers aren't spooled: who asked asks again. Owned by the watchdog; loop thread only.
class OpsChat {
 public:
  static constexpr Seconds kPoll{50};
  /// A command older than this waited while nobody listened; it is not carried out.
  static constexpr Seconds kStale{120};
  /// Between two lines in the log about strangers.
  static constexpr Seconds kStrangersApart{10};
  /// Trouble other than a refused token is told after this.
  static constexpr Seconds kTrouble{120};

  struct Events {
    std::function<std::string()> status;     ///< for `/status`: lines for a phone
    std::function<std::string()> incidents;  ///< for `/incidents`
    std::function<void(const Error&)> on_failing;
    std::function<void()> on_working;
  };
  OpsChat(loop::Loop& loop, const Clock& clock, std::unique_ptr<telegram::BotApi> api, std::int64_t chat,
          std::vector<std::int64_t> users, Desk& desk, Events events);

  void start();
  /// An earlier process told that the bot can't be asked; the next success says that it can.
  void resume_failing() { told_ = true; }
  /// The same with fresh settings (SIGHUP): it may be another bot, too.
  void replace(std::unique_ptr<telegram::BotApi> api, std::int64_t chat, std::vector<std::int64_t> users);
  /// The group has a new id.
  void moved(std::int64_t chat) { chat_ = chat; }

 private:
  void introduce();
  void poll();
  void polled(telegram::ApiResult<telegram::RawUpdates> result);
  void failed(const telegram::ApiError& error);
  void handle(const OpsUpdate& update);
  [[nodiscard]] bool admits(const OpsUpdate& update) const;
  void press(const OpsUpdate& update);
  void command(const OpsUpdate& update);
  [[nodiscard]] std::optional<std::vector<std::string>> words_of(const OpsUpdate& update) const;
  std::string obey(const std::vector<std::string>& words, const std::string& by);
  void say(const OpsUpdate& to, const std::string& text);
  net::HttpCall& slot();

  loop::Loop& loop_;
  const Clock& clock_;
  std::unique_ptr<telegram::BotApi> api_;
  std::int64_t chat_;
  std::vector<std::int64_t> users_;
  Desk& desk_;
  Events events_;
  std::string username_;
  std::int64_t bot_ = 0;  ///< its id; updates are numbered by bot
  std::int64_t offset_ = 0;
  bool caught_up_ = false;  ///< what waited at our start has been read
  bool told_ = false;
  std::optional<Mono> failing_since_;
  std::optional<Mono> stranger_logged_;
  int conflicts_ = 0;
  Backoff backoff_{Millis{1'000}, Millis{60'000}};
  loop::Timer retry_;
  net::HttpCall poll_call_;
  std::vector<net::HttpCall> calls_;  ///< answers that are being sent
  std::size_t next_call_ = 0;
};

}  // namespace katana::watchdog
