#include "watchdog/duty/dead_man.hpp"

#include <utility>

#include "common/core/id.hpp"
#include "common/log/log.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"dead-man switch"};

/// A book for this alone: what it writes is a real notice, and nobody's incident.
Notice notice_of_a_test(Now now) {
  Notice out;
  Book book("", "", {[] { return fresh_id(10); }, [&out](const Notice& n) { out = n; }});
  Report report;
  report.key = "self-check";
  report.where = "watchdog";
  report.title = "a check of the whole chain";
  book.open(std::move(report), now);
  out.kind = NoticeKind::Test;
  return out;
}

}  // namespace

DeadMan::DeadMan(loop::Loop& loop, const Clock& clock, net::HttpClient& http, Secret url, Chain chain,
                 Events events)
    : loop_(loop),
      clock_(clock),
      http_(http),
      url_(std::move(url)),
      chain_(std::move(chain)),
      events_(std::move(events)) {}

void DeadMan::start() {
  every_ = loop_.every(kEvery, [this] { check(); });
  check();
}

void DeadMan::check() {
  if (round_) return;  // the one before has its limit
  round_ = std::make_shared<int>();
  step_ = "a heartbeat that comes in through the bus";
  limit_ = loop_.after(kLimit, [this] {
    ended(fail(Code::Timeout, std::string("nothing came of ") + step_ + " within 45 s"));
  });
  id_ = "self-check/" + fresh_id();
  chain_.beat(id_);
}

void DeadMan::heard(const std::string& id) {
  if (id_.empty() || id != id_) return;
  id_.clear();
  const std::weak_ptr<int> round = round_;
  step_ = "a channel that would take a notice";
  chain_.channels(notice_of_a_test({clock_.mono(), clock_.wall()}), [this, round](Result<void> accepted) {
    if (round.expired()) return;
    if (!accepted) return ended(fail(with_context(accepted.error(), "no channel would take a notice")));
    ask();
  });
}

void DeadMan::ask() {
  step_ = "ALERT_DEADMAN_URL";
  net::HttpRequest request;
  request.method = "GET";
  request.url = url_.reveal();
  request.allow_plain = true;  // the operator wrote this URL
  request.total_timeout = Millis{20'000};
  request.max_body = 64 << 10;
  net::HttpEvents events;
  events.on_done = [this](Result<net::HttpResponse> response) {
    if (!response) return ended(fail(with_context(response.error(), "ALERT_DEADMAN_URL")));
    if (response->head.status / 100 != 2)
      return ended(fail(Code::Rejected, "ALERT_DEADMAN_URL: HTTP " + std::to_string(response->head.status)));
    ended({});
  };
  call_ = http_.start(std::move(request), std::move(events));
}

void DeadMan::ended(Result<void> outcome) {
  limit_.reset();
  id_.clear();
  round_.reset();
  call_.cancel();
  if (outcome) {
    last_asked_ = clock_.wall();
    last_error_.clear();
    failures_ = 0;
    if (std::exchange(told_, false)) events_.on_working();
    return;
  }
  last_error_ = outcome.error().detail;
  kLog.warn("its URL isn't asked: {}", last_error_);
  if (++failures_ >= kFailures && !std::exchange(told_, true)) events_.on_failing(outcome.error());
}

}  // namespace katana::watchdog
