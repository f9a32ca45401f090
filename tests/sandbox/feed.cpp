#include "feed.hpp"

#include <algorithm>

namespace sandbox {

struct Feed::Listener : public Mortal, public Pending {
  Listener(Feed& its_feed, HttpConnection& its_connection) : feed(its_feed), connection(&its_connection) {}
  void connection_gone() override {
    connection = nullptr;
    feed.drop(this);
  }
  Feed& feed;
  HttpConnection* connection;
  std::int64_t bot = 0;
  std::int64_t chat = 0;
  bool once = false;
  std::string event;
  std::string contains;
  std::unique_ptr<Timer> timer;  ///< of a stream: keep-alive; of a wait: its patience
};

Feed::Feed(Loop& loop, Telegram& telegram) : loop_(loop), telegram_(telegram) {}
Feed::~Feed() = default;

void Feed::add(std::unique_ptr<Listener> listener) {
  listener->connection->hold(listener.get());
  listeners_.push_back(std::move(listener));
  telegram_.watch(this);
}

void Feed::drop(Listener* listener) {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [listener](const auto& l) { return l.get() == listener; });
  if (found == listeners_.end()) return;
  loop_.bury(std::move(*found));
  listeners_.erase(found);
  if (listeners_.empty()) telegram_.watch(nullptr);
}

void Feed::on_shown(const Bot& bot, std::int64_t chat, const std::string& json) {
  const std::vector<Listener*> now = [this] {
    std::vector<Listener*> all;
    for (const auto& listener : listeners_)
      all.push_back(listener.get());
    return all;
  }();
  for (Listener* listener : now) {
    if (listener->connection == nullptr) continue;
    if ((listener->chat != 0 && listener->chat != chat) || (listener->bot != 0 && listener->bot != bot.id))
      continue;
    if (!listener->once) {
      listener->connection->write("data: " + json + "\n\n");
      continue;
    }
    if (!listener->event.empty() && json.compare(10, listener->event.size() + 1, listener->event + "\"") != 0)
      continue;
    if (json.find(listener->contains) == std::string::npos) continue;
    HttpConnection* connection = listener->connection;
    listener->connection = nullptr;
    drop(listener);
    connection->json(200, json);
  }
}

void Feed::stream(HttpConnection& connection, std::int64_t bot, std::int64_t chat) {
  connection.begin(200, "text/event-stream; charset=utf-8",
                   "Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n");
  connection.write(": watching\n\n");
  auto listener = std::make_unique<Listener>(*this, connection);
  listener->bot = bot;
  listener->chat = chat;
  Listener* key = listener.get();
  listener->timer = std::make_unique<Timer>(loop_, [key] {
    if (key->connection != nullptr) key->connection->write(": still here\n\n");
    key->timer->in(15 * kSecond);
  });
  listener->timer->in(15 * kSecond);
  add(std::move(listener));
}

void Feed::wait(HttpConnection& connection, std::int64_t bot, std::int64_t chat, std::string event,
                std::string contains, Nanos patience) {
  auto listener = std::make_unique<Listener>(*this, connection);
  listener->bot = bot;
  listener->chat = chat;
  listener->once = true;
  listener->event = std::move(event);
  listener->contains = std::move(contains);
  Listener* key = listener.get();
  listener->timer = std::make_unique<Timer>(loop_, [key] {
    HttpConnection* waiting = key->connection;
    key->connection = nullptr;
    key->feed.drop(key);
    if (waiting != nullptr)
      waiting->json(408, R"({"ok":false,"error":"nothing of the kind was shown in time"})");
  });
  listener->timer->in(patience);
  add(std::move(listener));
}

}  // namespace sandbox
