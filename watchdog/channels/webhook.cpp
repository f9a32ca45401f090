#include "watchdog/channels/webhook.hpp"

#include <charconv>

#include <nlohmann/json.hpp>

namespace katana::watchdog {
namespace {

const char* action_of(NoticeKind kind) {
  if (kind == NoticeKind::Resolved) return "resolve";
  return kind == NoticeKind::Acknowledged ? "acknowledge" : "trigger";
}

std::string body_of(const Notice& n, const Secret& key) {
  nlohmann::json more{{"event_action", action_of(n.kind)},
                      {"dedup_key", n.incident},
                      {"payload",
                       {{"summary", subject(n)},
                        {"source", n.host.empty() ? n.where : n.host + "/" + n.where},
                        {"severity", to_string(n.severity)},
                        {"component", n.where}}}};
  if (!n.runbook.empty()) more["links"] = {{{"href", n.runbook}, {"text", "What to do"}}};
  if (!key.empty()) more["routing_key"] = key.reveal();
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

/// There is no question that a webhook answers without consequence: what its last notice met is all we know.
void WebhookChannel::probe(std::function<void(Result<void>)> then) {
  then(last_);
}

/// Where a test opened something, it is closed again.
void WebhookChannel::send(const Notice& notice, const std::string&,
                          std::function<void(Result<Receipt>)> then) {
  if (notice.kind != NoticeKind::Test) return post(notice, std::move(then));
  post(notice, [this, end = notice, then = std::move(then)](Result<Receipt> taken) mutable {
    if (!taken) return then(std::move(taken));
    end.kind = NoticeKind::Resolved;
    post(end, std::move(then));
  });
}

void WebhookChannel::post(const Notice& notice, std::function<void(Result<Receipt>)> then) {
  net::HttpRequest request;
  request.url = url_.reveal();
  request.headers = {"Content-Type: application/json"};
  request.body = body_of(notice, key_);
  request.allow_plain = true;  // the operator wrote this URL
  request.total_timeout = Millis{30'000};
  request.max_body = 64 << 10;
  net::HttpEvents events;
  events.on_done = [this, then = std::move(then)](Result<net::HttpResponse> response) {
    last_ = {};
    if (!response)
      last_ = fail(response.error());
    else if (response->head.status / 100 != 2)
      last_ = fail(error_of(*response));
    if (!last_) return then(fail(last_.error()));
    then(Receipt{"HTTP " + std::to_string(response->head.status), {}});
  };
  call_ = http_.start(std::move(request), std::move(events));
}

}  // namespace katana::watchdog
