#include "webhook.hpp"

#include <algorithm>
#include <charconv>

#include "http.hpp"
#include "telegram.hpp"

namespace sandbox {
namespace {

constexpr Nanos kPatience = 30 * kSecond;

bool split_url(std::string_view url, std::string& host, int& port, std::string& path) {
  if (!take_prefix(url, "http://")) return false;
  const auto slash = url.find('/');
  std::string_view where = url.substr(0, slash);
  path = slash == std::string_view::npos ? "/" : std::string(url.substr(slash));
  const auto colon = where.find(':');
  port = 80;
  if (colon != std::string_view::npos) {
    std::from_chars(where.data() + colon + 1, where.data() + where.size(), port);
    where = where.substr(0, colon);
  }
  host = where;
  return host == "localhost" || host.substr(0, 4) == "127.";
}

}  // namespace

/// The kept-alive connection to the webhook. Owned by the client; buried when it is over.
class WebhookCall : public Connection {
 public:
  WebhookCall(Loop& loop, int fd, WebhookClient& client)
      : Connection(loop, fd), client_(&client), patience_(loop, [this] { fail("Read timeout expired"); }) {}
  void post(const std::string& request) {
    waiting_ = true;
    patience_.in(kPatience);
    send(request);
  }
  void leave() {
    client_ = nullptr;
    abort();
  }

 protected:
  void on_input() override {
    const std::string_view text = in_.view();
    const auto head = text.find("\r\n\r\n");
    if (head == std::string_view::npos) return;
    int status = 0;
    std::from_chars(text.data() + std::min<std::size_t>(9, head), text.data() + head, status);
    if (status == 100) return in_.consume(head + 4);
    // A fake request line lets the request parser read the reply's headers.
    Request headers;
    Framing framing;
    const std::string dressed =
        "GET / HTTP/1.1" + std::string(text.substr(text.find("\r\n"), head + 4 - text.find("\r\n")));
    if (parse_head(dressed, headers, framing) != Parse::Done) return fail("Wrong response from the webhook");
    std::size_t size = head + 4 + framing.content_length;
    if (framing.chunked) {
      Dechunker dechunker;
      std::string body;
      std::size_t used = 0;
      if (dechunker.feed(text.substr(head + 4), used, body) != Parse::Done) return;
      size = head + 4 + used;
    }
    if (text.size() < size) return;
    in_.consume(size);
    waiting_ = false;
    patience_.cancel();
    const bool last = !headers.keep_alive;
    WebhookClient* client = client_;
    if (last) {
      client_ = nullptr;
      abort();
    }
    if (client != nullptr) client->done(status);
  }
  void on_closed() override {
    patience_.cancel();
    if (client_ == nullptr) return;
    WebhookClient* client = client_;
    client_ = nullptr;
    if (waiting_) {
      client->lost("Connection refused or closed");
    } else {
      loop_.bury(std::move(client->call_));
    }
  }

 private:
  void fail(const char* why) {
    WebhookClient* client = client_;
    client_ = nullptr;
    abort();
    if (client != nullptr) client->lost(why);
  }
  WebhookClient* client_;
  bool waiting_ = false;
  Timer patience_;
};

WebhookClient::WebhookClient(Bot& bot) : bot_(bot), retry_(bot.loop, [this] { deliver(); }) {
  split_url(bot.webhook_url, host_, port_, path_);
}

WebhookClient::~WebhookClient() {
  if (call_ == nullptr) return;
  call_->leave();
  bot_.loop.bury(std::move(call_));
}

bool WebhookClient::accepts(std::string_view url, std::string& why) {
  std::string host;
  std::string path;
  int port = 0;
  if (split_url(url, host, port, path)) return true;
  why = "only http:// on loopback is reached from here";
  return false;
}

void WebhookClient::deliver() {
  if (in_flight_ != 0 || retry_.armed() || bot_.queue.empty()) return;
  if (call_ != nullptr && !call_->is_open()) bot_.loop.bury(std::move(call_));
  if (call_ == nullptr) {
    const int fd = connect_loopback(host_, port_);
    if (fd < 0) return lost("Connection refused");
    call_ = std::make_unique<WebhookCall>(bot_.loop, fd, *this);
  }
  Update& update = bot_.queue.front();
  in_flight_ = update.id;
  std::string request =
      "POST " + path_ + " HTTP/1.1\r\nHost: " + host_ + ":" + std::to_string(port_) +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(update.json.size()) + "\r\n";
  if (!bot_.webhook_secret.empty())
    request += "X-Telegram-Bot-Api-Secret-Token: " + bot_.webhook_secret + "\r\n";
  request += "\r\n" + update.json;
  if (!update.handed_out && bot_.telegram.probe() != nullptr)
    bot_.telegram.probe()->on_handed_out(update.chat);
  update.handed_out = true;
  call_->post(request);
}

void WebhookClient::done(int status) {
  if (call_ != nullptr && !call_->is_open()) bot_.loop.bury(std::move(call_));
  if (status < 200 || status > 299) return lost("Wrong response from the webhook: " + std::to_string(status));
  if (!bot_.queue.empty() && bot_.queue.front().id == in_flight_) bot_.queue.pop_front();
  in_flight_ = 0;
  failures_ = 0;
  deliver();
}

void WebhookClient::lost(const std::string& why) {
  if (call_ != nullptr && !call_->is_open()) bot_.loop.bury(std::move(call_));
  in_flight_ = 0;
  last_error_ = why;
  last_error_date_ = wall_seconds();
  retry_.in(std::min<Nanos>(kSecond << std::min(failures_++, 5), 60 * kSecond));
}

}  // namespace sandbox
