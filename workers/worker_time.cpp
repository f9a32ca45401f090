#include <algorithm>
#include <utility>

#include "common/log/log.hpp"
#include "workers/worker.hpp"

/// The worker's life by the clock: beats, gathered text, credit, draining.
namespace katana::workers {
namespace {

/// A beat that comes this late proves nothing about others: their words may still wait in the socket.
constexpr Millis kLateBeat{1'500};
constexpr std::size_t kIdleCalls = 1024;
constexpr int kUnhealthyAfter = 5;

constexpr log::Room kLog{"worker"};

}  // namespace

void Worker::say_hello(Link& link) {
  bus::Hello hello{.role = bus::Role::Worker,
                   .worker_id = options_.worker_id,
                   .provider = std::string(ports_.provider.name()),
                   .models = options_.models,
                   .build = options_.build};
  hello.in_hand.reserve(entries_.size());
  for (const auto& [job_id, entry] : entries_)
    hello.in_hand.push_back(entry.ref);
  if (link.send(hello)) link.said_hello(ports_.clock.mono());
}

void Worker::on_connected(std::size_t gateway) {
  links_[gateway]->forget();
  say_hello(*links_[gateway]);
}

void Worker::send_beat(std::size_t gateway) {
  bus::Beat beat;
  for (const auto& [job_id, entry] : entries_) {
    if (entry.gateway == gateway) beat.running.push_back(entry.ref);
  }
  (void)links_[gateway]->send(beat);
}

void Worker::beat() {
  const Mono now = ports_.clock.mono();
  const bool late = now - std::exchange(last_beat_, now) >= kLateBeat;
  for (std::size_t gateway = 0; gateway < links_.size(); ++gateway) {
    Link& link = *links_[gateway];
    switch (link.need(now, late)) {
      case Link::Need::Reconnect:
        if (link.joined()) kLog.warn("The gateway at {} is silent: connecting anew", link.endpoint());
        link.reconnect(now);
        break;
      case Link::Need::Hello:
        say_hello(link);
        break;
      case Link::Need::Nothing:
        break;
    }
    if (link.joined()) send_beat(gateway);
    link.credit.reset();  // said again with each beat: a window that got lost would stay shut
  }
  for (auto& [job_id, entry] : entries_) {
    if (entry.outcome && (!entry.told || now - *entry.told >= kRepeatOutcome)) tell(entry);
  }
  blobs_.tick(now);
  update_credit();
  set_busy();
  look_if_drained();
}

void Worker::tick() {
  const Mono now = ports_.clock.mono();
  while (!gathering_.empty() && now - gathering_.front().since >= kGather) {
    const std::string job_id = std::move(gathering_.front().job_id);
    gathering_.pop_front();
    const auto at = entries_.find(job_id);
    if (at == entries_.end() || !at->second.call || at->second.call->fresh().empty()) continue;
    if (!flush(at->second)) gathering_.push_back({job_id, now});
  }
  tick_calls(now);
  if (hold_until_ != Mono{} && now >= hold_until_) {
    hold_until_ = {};
    update_credit();
  }
  set_busy();
  look_if_drained();
}

/// A call may end in its tick, and its entry with it: look each one up by its id.
void Worker::tick_calls(Mono now) {
  if (now - calls_ticked_ < kTickCalls) return;
  calls_ticked_ = now;
  due_.clear();
  for (auto& [job_id, entry] : entries_) {
    if (entry.call || (entry.waits_for_files && now >= entry.deadline)) due_.push_back(job_id);
    if (entry.outcome && !entry.told) tell(entry);
  }
  for (const std::string& job_id : due_) {
    const auto at = entries_.find(job_id);
    if (at == entries_.end()) continue;
    Entry& entry = at->second;
    if (entry.call) {
      entry.call->tick(now);
    } else if (entry.waits_for_files) {
      blobs_.drop(job_id);
      fail(entry, {Code::Timeout, "its attachments didn't come in time"});
    }
  }
  for (auto& call : tails_)
    call->tick(now);
  const auto done =
      std::stable_partition(tails_.begin(), tails_.end(), [](const auto& call) { return call->busy(); });
  for (auto at = done; at != tails_.end(); ++at) {
    if (idle_calls_.size() < kIdleCalls) idle_calls_.push_back(std::move(*at));
  }
  tails_.erase(done, tails_.end());
}

std::uint32_t Worker::window(const Link& link) const {
  if (draining_ || hold_until_ != Mono{} || held_bytes_ > kMaxHeld) return 0;
  const std::size_t elsewhere = running_ - link.running;
  return elsewhere >= options_.jobs ? 0 : options_.jobs - static_cast<std::uint32_t>(elsewhere);
}

void Worker::update_credit() {
  for (const auto& link : links_) {
    const std::uint32_t now = window(*link);
    if (link->joined() && link->credit != now && link->send(bus::Credit{now})) link->credit = now;
  }
}

void Worker::set_busy() {
  const bool busy = running_ > 0 || !tails_.empty() || hold_until_ != Mono{};
  if (busy != std::exchange(busy_, busy)) ports_.on_busy(busy);
}

void Worker::drain() {
  draining_ = true;
  update_credit();
  look_if_drained();
}

void Worker::look_if_drained() {
  if (!draining_ || drained_ || !entries_.empty()) return;
  drained_ = true;
  ports_.on_drained();
}

void Worker::report(bus::Heartbeat& beat) const {
  const Mono now = ports_.clock.mono();
  beat.progress = progress_;
  beat.in_flight = running_;
  beat.last_error = last_error_;
  beat.requests = requests_;
  beat.failed_requests = failed_requests_;
  for (const auto& [job_id, entry] : entries_) {
    if (entry.outcome) continue;
    const bool waits = !entry.call || entry.call->pausing();
    if (waits) ++beat.queue;
    const Mono since = entry.call ? entry.call->last_life() : entry.accepted;
    const auto silent = std::chrono::duration_cast<Millis>(now - since).count();
    beat.oldest_wait_ms =
        std::max(beat.oldest_wait_ms, static_cast<std::uint64_t>(std::max<std::int64_t>(0, silent)));
  }
  if (key_refused_) {
    beat.healthy = false;
    beat.unhealthy_reason = "the provider refuses the key, or nothing is left on its account";
  } else if (failures_in_a_row_ >= kUnhealthyAfter) {
    beat.healthy = false;
    beat.unhealthy_reason =
        "the last " + std::to_string(failures_in_a_row_) + " calls to the provider failed";
  }
}

}  // namespace katana::workers
