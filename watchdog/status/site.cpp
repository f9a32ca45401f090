#include "watchdog/status/site.hpp"

#include <algorithm>

#include "watchdog/status/exposition.hpp"

namespace katana::watchdog {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

const Headers& page_headers() {
  static const Headers headers{
      {"Content-Security-Policy",
       "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cache-Control", "no-store"}};
  return headers;
}

net::ServerResponse json(int status, std::string body) {
  return {status, "application/json; charset=utf-8", std::move(body), {{"Cache-Control", "no-store"}}, {}};
}

std::string event(const Snapshot& s) {
  return "event: status\ndata: " + to_json(s) + "\n\n";
}

}  // namespace

net::ServerResponse Site::handle(const net::ServerRequest& request) {
  if (request.method != "GET" && request.method != "HEAD")
    return {405, "text/plain; charset=utf-8", "this page only shows\n", {{"Allow", "GET, HEAD"}}, {}};
  if (request.path == "/") return {200, "text/html; charset=utf-8", kPage, page_headers(), {}};
  if (request.path == "/api/status") return json(200, to_json(snapshot_()));
  if (request.path == "/api/events") return feed();
  if (request.path == "/metrics") return metrics();
  return {404, "text/plain; charset=utf-8", "nothing here: see /, /api/status, /health, /metrics\n", {}, {}};
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
  if (feeds_.size() >= kFeeds) return {503, "text/plain; charset=utf-8", "too many watch already\n", {}, {}};
  net::ServerResponse response{200, "text/event-stream", "", {{"Cache-Control", "no-store"}}, {}};
  response.stream = [this](std::shared_ptr<net::EventStream> stream) {
    if (stream->write("retry: 2000\n\n" + event(snapshot_()))) feeds_.push_back(std::move(stream));
  };
  return response;
}

void Site::publish() {
  if (feeds_.empty()) return;
  const std::string bytes = event(snapshot_());
  feeds_.erase(std::remove_if(feeds_.begin(), feeds_.end(), [&](const auto& f) { return !f->write(bytes); }),
               feeds_.end());
}

}  // namespace katana::watchdog
