#include "gateway/dispatch/queue.hpp"

#include <algorithm>
#include <limits>

namespace katana::gateway {

void Line::join(ChatKey conversation, bool first) {
  auto& topics = topics_[conversation.chat_id];
  const bool waits = !topics.empty();
  first ? topics.push_front(conversation) : topics.push_back(conversation);
  if (waits && first) std::erase(chats_, conversation.chat_id);
  if (waits && !first) return;
  first ? chats_.push_front(conversation.chat_id) : chats_.push_back(conversation.chat_id);
}

void Line::leave(ChatKey conversation) {
  const auto it = topics_.find(conversation.chat_id);
  std::erase(it->second, conversation);
  if (!it->second.empty()) return;
  topics_.erase(it);
  std::erase(chats_, conversation.chat_id);
}

std::optional<ChatKey> Line::next() {
  if (chats_.empty()) return std::nullopt;
  const std::int64_t chat = chats_.front();
  chats_.pop_front();
  const auto it = topics_.find(chat);
  const ChatKey conversation = it->second.front();
  it->second.pop_front();
  if (it->second.empty()) {
    topics_.erase(it);
  } else {
    chats_.push_back(chat);
  }
  return conversation;
}

void FairQueue::line_up(ChatKey chat, Conversation& c, bool first) {
  if (c.busy || c.in_line || c.questions.empty()) return;
  line_[c.questions.front().provider].join(chat, first);
  c.in_line = true;
}

void FairQueue::push(ChatKey chat, std::int64_t turn_id, std::string provider) {
  Conversation& c = conversations_[chat];
  c.questions.push_back({turn_id, std::move(provider)});
  ++waiting_;
  line_up(chat, c, false);
}

std::optional<std::int64_t> FairQueue::pop(const std::string& provider) {
  const auto it = line_.find(provider);
  if (it == line_.end()) return std::nullopt;
  const auto chat = it->second.next();
  if (!chat) return std::nullopt;
  Conversation& c = conversations_[*chat];
  c.in_line = false;
  c.busy = true;
  const std::int64_t turn_id = c.questions.front().turn_id;
  c.questions.pop_front();
  --waiting_;
  return turn_id;
}

void FairQueue::put_back(ChatKey chat, std::int64_t turn_id, std::string provider) {
  Conversation& c = conversations_[chat];
  c.questions.push_front({turn_id, std::move(provider)});
  ++waiting_;
  c.busy = false;
  line_up(chat, c, true);
}

void FairQueue::release(ChatKey chat) {
  const auto it = conversations_.find(chat);
  if (it == conversations_.end()) return;
  it->second.busy = false;
  if (it->second.questions.empty()) {
    conversations_.erase(it);
  } else {
    line_up(chat, it->second, false);
  }
}

bool FairQueue::remove(ChatKey chat, std::int64_t turn_id) {
  const auto it = conversations_.find(chat);
  if (it == conversations_.end()) return false;
  Conversation& c = it->second;
  const auto at = std::find_if(c.questions.begin(), c.questions.end(),
                               [&](const Waiting& w) { return w.turn_id == turn_id; });
  if (at == c.questions.end()) return false;
  // It keeps its place in line as long as its next question is for the same provider; else it stands behind
  // anew.
  const std::string stands_for = c.questions.front().provider;
  c.questions.erase(at);
  --waiting_;
  if (c.in_line && (c.questions.empty() || c.questions.front().provider != stands_for)) {
    line_[stands_for].leave(chat);
    c.in_line = false;
  }
  if (c.questions.empty() && !c.busy) {
    conversations_.erase(it);
  } else {
    line_up(chat, c, false);
  }
  return true;
}

void FairQueue::move_chat(std::int64_t from, std::int64_t to) {
  const auto leave = [this](ChatKey key, Conversation& c) {
    if (c.in_line) line_[c.questions.front().provider].leave(key);
    c.in_line = false;
  };
  for (auto it = conversations_.lower_bound(ChatKey{from, std::numeric_limits<std::int64_t>::min()});
       it != conversations_.end() && it->first.chat_id == from;) {
    leave(it->first, it->second);
    const ChatKey key{to, it->first.thread_id};
    Conversation& there = conversations_[key];
    leave(key, there);
    there.questions.insert(there.questions.begin(), it->second.questions.begin(), it->second.questions.end());
    there.busy = there.busy || it->second.busy;
    it = conversations_.erase(it);
    line_up(key, there, false);
  }
}

bool FairQueue::any(const std::string& provider) const {
  const auto it = line_.find(provider);
  return it != line_.end() && !it->second.empty();
}

}  // namespace katana::gateway
