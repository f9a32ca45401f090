#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "common/telegram/bot_api.hpp"

namespace katana::telegram {

/// A BotApi whose calls wait until the test answers them.
class FakeBotApi : public BotApi {
 public:
  struct Poll {
    std::int64_t offset;
    Seconds timeout;
    Then<RawUpdates> then;
    int limit = 0;
  };
  std::deque<Poll> polls;
  std::deque<Then<bool>> webhook_deletions;

  net::HttpCall get_me(Then<BotUser> then) override {
    introductions.push_back(std::move(then));
    return {};
  }
  std::deque<Then<BotUser>> introductions;
  net::HttpCall get_updates(std::int64_t offset, int limit, Seconds timeout, Then<RawUpdates> then) override {
    polls.push_back({offset, timeout, std::move(then), limit});
    return {};
  }
  net::HttpCall send_message(const OutText&, Then<std::int64_t>) override { return {}; }
  net::HttpCall edit_message(std::int64_t, const OutText&, Then<bool>) override { return {}; }
  net::HttpCall delete_message(std::int64_t, std::int64_t, Then<bool>) override { return {}; }
  net::HttpCall send_draft(std::int64_t, const OutText&, Then<bool>) override { return {}; }
  net::HttpCall send_typing(std::int64_t, std::int64_t, Then<bool>) override { return {}; }
  net::HttpCall answer_callback(const std::string&, const std::string&, Then<bool>) override { return {}; }
  net::HttpCall set_commands(const std::vector<std::pair<std::string, std::string>>&, Then<bool>) override {
    return {};
  }
  net::HttpCall delete_webhook(Then<bool> then) override {
    webhook_deletions.push_back(std::move(then));
    return {};
  }
  net::HttpCall set_webhook(const std::string&, const Secret&, Then<bool>) override { return {}; }
  net::HttpCall pending_updates(Then<std::int64_t>) override { return {}; }

  /// Answers the oldest poll.
  void answer(ApiResult<std::string> result, std::optional<Wall> told_at = {}) {
    Poll poll = std::move(polls.front());
    polls.pop_front();
    poll.then(result.map([&](const std::string& json) { return RawUpdates{json, told_at}; }));
  }
};

}  // namespace katana::telegram
