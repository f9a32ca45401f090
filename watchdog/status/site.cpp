#include "watchdog/status/site.hpp"

#include <algorithm>
#include <utility>

#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "watchdog/status/exposition.hpp"

namespace katana::watchdog {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr log::Room kLog{"status"};
constexpr const char* kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kNonce = "{{nonce}}";
constexpr Seconds kStrangersApart{10};  // lines in the log

const Headers& private_headers() {
  static const Headers headers{{"Cache-Control", "no-store"},
                               {"X-Content-Type-Options", "nosniff"},
                               {"Cross-Origin-Resource-Policy", "same-origin"}};
  return headers;
}

/// A page of ours: only its own style and script count, and it speaks with us alone.
net::ServerResponse page(std::string html) {
  const std::string nonce = fresh_id(22);
  for (auto at = html.find(kNonce); at != std::string::npos; at = html.find(kNonce, at))
    html.replace(at, kNonce.size(), nonce);
  Headers headers = private_headers();
  headers.emplace_back("Content-Security-Policy",
                       "default-src 'none'; style-src 'nonce-" + nonce + "'; script-src 'nonce-" + nonce +
                           "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                           "frame-ancestors 'none'");
  headers.emplace_back("Referrer-Policy", "no-referrer");
  return {200, "text/html; charset=utf-8", std::move(html), std::move(headers), {}};
}

net::ServerResponse json(std::string body) {
  return {200, "application/json; charset=utf-8", std::move(body), private_headers(), {}};
}

std::string event(const char* name, const std::string& data) {
  return std::string("event: ") + name + "\ndata: " + data + "\n\n";
}

bool is_action(std::string_view path) {
  return path == "/api/acknowledge" || path == "/api/silence" || path == "/api/unsilence" ||
         path == "/api/restart";
}

}  // namespace

net::ServerResponse Site::handle(const net::ServerRequest& request) {
  const auto host = request.header ? request.header("Host") : std::string_view{};
  // Whoever scrapes a watchdog that is open to others may know it by any name, and could read it anyway.
  const bool scraped = request.path == "/metrics" && gate_.open_to_others();
  if (!scraped && !gate_.serves(host)) {
    log_stranger("a request for a host name that isn't ours was refused; is it KATANA_PAGE_URL's?");
    return {
        421, kPlain, "This isn't the page of that host name. KATANA_PAGE_URL says which it is.\n", {}, {}};
  }
  if (is_action(request.path)) return act(request);
  if (request.method != "GET" && request.method != "HEAD")
    return {405, kPlain, "this page only shows\n", {{"Allow", "GET, HEAD"}}, {}};
  return show(request);
}

net::ServerResponse Site::show(const net::ServerRequest& request) {
  if (request.path == "/") return page(kPage);
  if (request.path == "/runbook") return page(kRunbook);
  if (request.path == "/api/status") return json(to_json(snapshot_()));
  if (request.path == "/api/events") return feed();
  if (request.path == "/metrics") return metrics();
  if (request.path == "/api/incident" || request.path == "/api/token") return incident(request);
  if (request.path == "/api/history") {
    const Snapshot s = snapshot_();
    const auto span = History::span_of(request.query ? request.query("span") : std::string_view{});
    if (!span || !s.history) return {400, kPlain, "span=1h or span=24h\n", {}, {}};
    return json(s.history->to_json(*span));
  }
  return {404, kPlain, "nothing here: see /, /runbook, /api/status, /health, /metrics\n", {}, {}};
}

net::ServerResponse Site::metrics() const {
  const Snapshot s = snapshot_();
  std::vector<Exposition> all;
  all.push_back({"watchdog", "watchdog", own_() + own_metrics(s)});
  for (const auto& [name, m] : s.roster->members())
    if (!m.metrics.empty() && m.state != State::Down)  // a dead one's last figures aren't today's
      all.push_back({m.component, name, m.metrics});
  return {200, "text/plain; version=0.0.4; charset=utf-8", merge(all), {}, {}};
}

net::ServerResponse Site::feed() {
  if (feeds_.size() >= kFeeds) return {503, kPlain, "too many watch already\n", {}, {}};
  net::ServerResponse response{200, "text/event-stream", "", private_headers(), {}};
  response.stream = [this](std::shared_ptr<net::EventStream> stream) {
    const Snapshot s = snapshot_();
    const std::string first =
        "retry: 2000\n\n" + event("past", past_json(s)) + event("status", to_json(s, false));
    if (stream->write(first)) feeds_.push_back(std::move(stream));
  };
  return response;
}

/// Past incidents and points go out when there are new ones; who begins to watch gets or asks for all.
std::string Site::news(const Snapshot& s) {
  std::string out;
  if (std::exchange(told_revision_, s.book->revision()) != s.book->revision())
    out += event("past", past_json(s));
  if (s.history)
    for (const auto span : {History::Hour, History::Day})
      if (std::exchange(told_points_[span], s.history->last_point(span)) != s.history->last_point(span))
        out += event("point", s.history->point_json(span));
  return out + event("status", to_json(s, false));
}

void Site::publish() {
  if (feeds_.empty()) return;
  const std::string bytes = news(snapshot_());
  feeds_.erase(std::remove_if(feeds_.begin(), feeds_.end(), [&](const auto& f) { return !f->write(bytes); }),
               feeds_.end());
}

void Site::log_stranger(const char* what) {
  const Mono now = snapshot_().now.mono;
  if (stranger_logged_ && now - *stranger_logged_ < kStrangersApart) return;
  stranger_logged_ = now;
  kLog.warn("{}", what);
}

}  // namespace katana::watchdog
