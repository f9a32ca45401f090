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

WebhookClient::WebhookClient(Bot& bot) : bot_(bot), retry_(bot.loop, [this] { deliver(); }) {
  split_url(bot.webhook_url, host_, port_, path_);
}

WebhookClient::~WebhookClient() {
  let_go();
}

void WebhookClient::let_go() {
  if (connection_ == nullptr) return;
  connection_->leave();
  bot_.loop.bury(std::move(connection_));
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
  if (connection_ == nullptr) {
    const int fd = connect_loopback(host_, port_);
    if (fd < 0) return failed("Connection refused");
    connection_ = std::make_unique<ClientConnection>(bot_.loop, fd, *this);
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
  connection_->request(request, kPatience);
}

void WebhookClient::on_reply(ClientConnection& connection, int status, std::string_view) {
  if (!connection.is_open()) let_go();
  if (status < 200 || status > 299)
    return failed("Wrong response from the webhook: " + std::to_string(status));
  if (!bot_.queue.empty() && bot_.queue.front().id == in_flight_) bot_.queue.pop_front();
  in_flight_ = 0;
  failures_ = 0;
  deliver();
}

void WebhookClient::on_lost(ClientConnection&, const char* why) {
  let_go();
  if (in_flight_ != 0) failed(why);  // an idle connection may close when it likes
}

void WebhookClient::failed(const std::string& why) {
  in_flight_ = 0;
  last_error_ = why;
  last_error_date_ = wall_seconds();
  retry_.in(std::min<Nanos>(kSecond << std::min(failures_++, 5), 60 * kSecond));
}

}  // namespace sandbox
