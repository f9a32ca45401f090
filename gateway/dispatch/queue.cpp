#include "gateway/dispatch/queue.hpp"

#include <algorithm>

namespace katana::gateway {

void FairQueue::line_up(ChatKey chat, Conversation& c, bool first) {
  if (c.busy || c.in_line || c.questions.empty()) return;
  auto& line = line_[c.questions.front().provider];
  first ? line.push_front(chat) : line.push_back(chat);
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
  if (it == line_.end() || it->second.empty()) return std::nullopt;
  const ChatKey chat = it->second.front();
  it->second.pop_front();
  Conversation& c = conversations_[chat];
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
  if (c.in_line) {  // its place may have been its first question's provider: stand in line anew
    auto& line = line_[c.questions.front().provider];
    line.erase(std::find(line.begin(), line.end(), chat));
    c.in_line = false;
  }
  c.questions.erase(at);
  --waiting_;
  if (c.questions.empty() && !c.busy) {
    conversations_.erase(it);
  } else {
    line_up(chat, c, true);
  }
  return true;
}

bool FairQueue::any(const std::string& provider) const {
  const auto it = line_.find(provider);
  return it != line_.end() && !it->second.empty();
}

}  // namespace katana::gateway
