#include "watchdog/channels/webhook.hpp"

#include <charconv>

#include <nlohmann/json.hpp>

namespace katana::watchdog {
namespace {

std::string body_of(const Notice& n) {
  const nlohmann::json more{{"event_action", n.kind == NoticeKind::Resolved ? "resolve" : "trigger"},
                            {"dedup_key", n.incident},
                            {"payload",
                             {{"summary", subject(n)},
                              {"source", n.host.empty() ? n.where : n.host + "/" + n.where},
                              {"severity", to_string(n.severity)},
                              {"component", n.where}}}};
  std::string body = to_json(n);  // an object, too
  body.back() = ',';
  return body + more.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(1);
}

Error error_of(const net::HttpResponse& response) {
  const int status = response.head.status;
  Error e{Code::Rejected, "HTTP " + std::to_string(status)};
  if (status == 429) e.code = Code::RateLimited;
  if (status >= 500) e.code = Code::Overloaded;
  if (status == 401 || status == 403) e.code = Code::Auth;
  const auto after = response.head.find("retry-after");
  int seconds = 0;
  if (std::from_chars(after.data(), after.data() + after.size(), seconds).ec == std::errc{} && seconds > 0)
    e.retry_after = Seconds{std::min(seconds, 3600)};
  return e;
}

}  // namespace

void WebhookChannel::send(const Notice& notice, const std::string&,
                          std::function<void(Result<Receipt>)> then) {
  net::HttpRequest request;
  request.url = url_.reveal();
  request.headers = {"Content-Type: application/json"};
  request.body = body_of(notice);
  request.allow_plain = true;  // the operator wrote this URL
  request.total_timeout = Millis{30'000};
  request.max_body = 64 << 10;
  net::HttpEvents events;
  events.on_done = [then = std::move(then)](Result<net::HttpResponse> response) {
    if (!response) return then(fail(response.error()));
    if (response->head.status / 100 != 2) return then(fail(error_of(*response)));
    then(Receipt{"HTTP " + std::to_string(response->head.status), {}});
  };
  call_ = http_.start(std::move(request), std::move(events));
}

}  // namespace katana::watchdog
