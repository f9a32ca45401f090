#pragma once

#include <memory>
#include <string>
#include <vector>

#include "telegram.hpp"

namespace sandbox {

/// Everything that is shown in the chats, live: to streams of server-sent events, and to those who wait for
/// one message.
class Feed : public Onlooker {
 public:
  Feed(Loop& loop, Telegram& telegram);
  ~Feed() override;
  void on_shown(const Bot& bot, std::int64_t chat, const std::string& json) override;

  /// `chat` 0: all chats. `bot` 0: all bots.
  void stream(HttpConnection& connection, std::int64_t bot, std::int64_t chat);
  /// Answers as soon as something is shown whose JSON has `event` (or any) and `contains`; after `patience`
  /// with 408.
  void wait(HttpConnection& connection, std::int64_t bot, std::int64_t chat, std::string event,
            std::string contains, Nanos patience);

 private:
  struct Listener;
  void drop(Listener* listener);
  void add(std::unique_ptr<Listener> listener);
  Loop& loop_;
  Telegram& telegram_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace sandbox
