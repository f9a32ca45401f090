#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/core/clock.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// Who is next: chats take turns, and within a chat its conversations (topics), so that a thousand questions
/// in one chat hold up nobody else, in however many topics they stand. Pure.
class Line {
 public:
  void join(ChatKey conversation, bool first);
  void leave(ChatKey conversation);
  /// Out of the line with it; its chat, if others of it wait, goes to the end.
  std::optional<ChatKey> next();
  [[nodiscard]] bool empty() const { return chats_.empty(); }

 private:
  std::deque<std::int64_t> chats_;  ///< those in `topics_`, in turn
  std::unordered_map<std::int64_t, std::deque<ChatKey>> topics_;
};

/// Waiting questions, fair between chats: each conversation answers one at a time in the order asked, and
/// they take turns as `Line` says. Pure. A question is known here by its turn id; whose it is and what it
/// holds is the dispatcher's.
class FairQueue {
 public:
  /// A question comes in at the end of its conversation.
  void push(ChatKey chat, std::int64_t turn_id, std::string provider);
  /// The next question for `provider` among the conversations that are free; its conversation is busy from
  /// now on.
  std::optional<std::int64_t> pop(const std::string& provider);
  /// The question that `pop` gave couldn't be started, or must start again (perhaps elsewhere): it is the
  /// first of its conversation again, and that conversation the first in line.
  void put_back(ChatKey chat, std::int64_t turn_id, std::string provider);
  /// The answer is done: the conversation's next question may go.
  void release(ChatKey chat);
  /// The question's answer is under way (found so at start): its conversation is busy.
  void occupy(ChatKey chat) { conversations_[chat].busy = true; }
  /// Takes a waiting question out. False when it isn't waiting.
  bool remove(ChatKey chat, std::int64_t turn_id);

  /// A group became a supergroup: what waits there, waits under its new id, before what came to that already.
  void move_chat(std::int64_t from, std::int64_t to);

  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] bool any(const std::string& provider) const;

 private:
  struct Waiting {
    std::int64_t turn_id;
    std::string provider;
  };
  struct Conversation {
    std::deque<Waiting> questions;
    bool busy = false;
    bool in_line = false;  ///< stands in `line_` of its first question's provider
  };

  void line_up(ChatKey chat, Conversation& conversation, bool first);

  std::map<ChatKey, Conversation> conversations_;
  std::map<std::string, Line> line_;
  std::size_t waiting_ = 0;
};

}  // namespace katana::gateway
