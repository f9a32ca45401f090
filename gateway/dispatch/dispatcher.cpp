#include "gateway/dispatch/dispatcher.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"

namespace katana::gateway {
namespace {

/// A job that its worker no longer lists, or that nobody reported after our start, goes to somebody else
/// after this.
constexpr Millis kMissingAfter{10'000};
/// A turn of the loop that began this late judges nobody: messages may still wait in the socket.
constexpr Millis kLateTick{1'500};
constexpr Millis kStorePause{1'000};
constexpr std::array<const char*, 2> kProviders{"claude", "openai"};

constexpr log::Room kLog{"dispatch"};

}  // namespace

Dispatcher::Dispatcher(Store& store, const Clock& clock, DispatchPolicy policy, DispatchEvents events)
    : store_(store),
      clock_(clock),
      policy_(std::move(policy)),
      events_(std::move(events)),
      started_(clock.mono()),
      last_tick_(clock.mono()) {}

void Dispatcher::add(Question question) {
  const std::int64_t turn_id = question.turn_id;
  by_job_[question.job.job_id] = turn_id;
  Entry& e = entries_[turn_id];
  e.q = std::move(question);
  e.deaths = e.q.deaths;
  if (e.q.may_run) {
    e.state = State::MayRun;
    e.holds_conversation = true;
    queue_.occupy(e.q.chat);
  } else {
    queue_.push(e.q.chat, turn_id, e.q.provider);
    pump();
  }
}

// ---- out: queue -> lease -> worker ----

void Dispatcher::pump() {
  if (draining_ || !bus_ || store_.trouble() || clock_.mono() < store_pause_until_) return;
  for (const char* provider : kProviders) {
    while (queue_.any(provider)) {
      Worker* worker = pool_.pick(provider);
      if (!worker) break;
      start(entries_.at(*queue_.pop(provider)), *worker);
    }
  }
}

void Dispatcher::start(Entry& e, Worker& worker) {
  const std::int64_t turn_id = e.q.turn_id;
  e.state = State::Leasing;
  e.holds_conversation = true;
  e.peer = worker.peer;
  worker.outstanding.insert(turn_id);
  store_.lease(
      e.q.job, worker.worker_id, e.q.provider, e.q.model, e.deaths,
      Done<LeasedJob>{
          .applied =
              [this, turn_id, ref = e.q.job](Result<LeasedJob>& leased) {
                const auto it = entries_.find(turn_id);
                if (it == entries_.end() || it->second.state != State::Leasing) return;
                if (leased) return send_job(turn_id, ref, std::move(leased->turns));
                kLog.error("job {}: the store gives no lease: {}", ref.job_id, leased.error().detail);
                not_sent(it->second);
                store_pause_until_ = clock_.mono() + kStorePause;
              },
          .durable = [this, turn_id, ref = e.q.job](
                         const Result<LeasedJob>& leased) { on_lease_durable(turn_id, ref, leased); }});
}

void Dispatcher::send_job(std::int64_t turn_id, const bus::JobRef& ref, std::vector<bus::Turn> turns) {
  Entry& e = entries_.at(turn_id);
  const bus::Message job = bus::Job{.bot_id = policy_.bot_id,
                                    .job = ref,
                                    .time_left_ms = static_cast<std::uint32_t>(policy_.answer_time.count()),
                                    .model = e.q.model,
                                    .system = policy_.system_prompt,
                                    .turns = std::move(turns),
                                    .max_output_tokens = policy_.max_output_tokens(e.q.model)};
  Worker* worker = pool_.find(e.peer);
  if (!worker) return requeue(e, "its worker left");  // the lease names that worker: it can't just move on
  if (const auto sent = send(e.peer, job); !sent) {
    // A frame that breaks the protocol's own limits breaks them everywhere.
    return sent.error().transient() ? requeue(e, "it could not be sent") : fail_here(e, sent.error());
  }
  worker->outstanding.insert(turn_id);  // it may have said hello since
  e.state = State::Running;
  e.next_seq = 0;
  e.in_step = true;
  e.listed = clock_.mono();
  fail_point("dispatched");
  if (e.cancelled) send(e.peer, bus::Cancel{ref});
}

/// There is no lease: the job is the next one again, with the same attempt.
void Dispatcher::not_sent(Entry& e) {
  release_credit(e);
  e.steps = {};
  if (std::exchange(e.text_came, false)) events_.on_restart(e.q.turn_id);
  if (e.cancelled) return fail_here(e, Error{Code::Cancelled, "stopped by its user"});
  e.state = State::Waiting;
  e.holds_conversation = false;
  queue_.put_back(e.q.chat, e.q.turn_id, e.q.provider);
}

/// The lease went out before its commit. When that fails, the worker is told to stop, and the job waits
/// again.
void Dispatcher::on_lease_durable(std::int64_t turn_id, const bus::JobRef& ref,
                                  const Result<LeasedJob>& leased) {
  if (leased) return fail_point("leased");
  const auto it = entries_.find(turn_id);
  if (it == entries_.end() || it->second.q.job != ref) return;
  Entry& e = it->second;
  if (e.state != State::Leasing && e.state != State::Running) return;
  kLog.error("job {}: its lease was not committed: {}", ref.job_id, leased.error().detail);
  send(e.peer, bus::Cancel{ref});
  store_pause_until_ = clock_.mono() + kStorePause;
  not_sent(e);
}

Result<void> Dispatcher::send(const bus::PeerId& peer, const bus::Message& message) {
  auto sent = bus_->send(peer, message);
  if (sent) return sent;
  Worker* worker = pool_.find(peer);
  if (worker && sent.error().code == Code::Overloaded) worker->congested = true;
  if (worker && sent.error().code == Code::Network && !worker->unreachable_since) {
    worker->unreachable_since = clock_.mono();
    kLog.warn("worker {} ({}): its connection is closed", worker->worker_id, worker->provider);
  }
  return sent;
}

// ---- time ----

void Dispatcher::tick() {
  const Mono now = clock_.mono();
  const bool late = now - last_tick_ >= kLateTick;
  last_tick_ = now;
  beat_all();
  if (!late) {
    for (const auto& peer : pool_.gone(now))
      lose(peer, pool_.find(peer)->unreachable_since.has_value());
    look_for_missing(now);
  }
  retry_store();
  pump();
}

void Dispatcher::beat_all() {
  for (auto& [peer, worker] : pool_.all()) {
    worker.congested = false;
    bus::Beat beat;
    beat.running.reserve(worker.outstanding.size());
    for (const std::int64_t turn_id : worker.outstanding) {
      const Entry& e = entries_.at(turn_id);
      if (e.state != State::Running) continue;
      beat.running.push_back(e.q.job);
      if (e.cancelled) send(peer, bus::Cancel{e.q.job});  // the first one may not have been sent
    }
    send(peer, beat);
  }
}

void Dispatcher::look_for_missing(Mono now) {
  std::vector<std::int64_t> missing;
  for (const auto& [turn_id, e] : entries_) {
    const bool lost = e.state == State::Running && now - e.listed >= kMissingAfter;
    const bool unclaimed = e.state == State::MayRun && now - started_ >= kMissingAfter;
    if (lost || unclaimed) missing.push_back(turn_id);
  }
  for (const std::int64_t turn_id : missing) {
    Entry& e = entries_.at(turn_id);
    if (!e.peer.empty()) send(e.peer, bus::Cancel{e.q.job});
    requeue(e, e.state == State::MayRun ? "no worker reported it after a restart" : "its worker lost it");
  }
}

void Dispatcher::retry_store() {
  if (store_.trouble()) return;
  for (auto& [turn_id, e] : entries_) {
    if (e.unsettled) settle(e, Settlement(*e.unsettled));
    if (auto end = std::exchange(e.unqueued, std::nullopt))
      requeue(e, end->ending, end->request_id, end->usage);
  }
}

void Dispatcher::lose(const bus::PeerId& peer, bool died) {
  Worker* worker = pool_.find(peer);
  if (!worker) return;
  kLog.warn("worker {} ({}) is gone with {} jobs", worker->worker_id, worker->provider,
            worker->outstanding.size());
  const auto turns = std::move(worker->outstanding);
  const std::string worker_id = worker->worker_id;
  pool_.remove(peer);
  for (const std::int64_t turn_id : turns) {
    Entry& e = entries_.at(turn_id);
    if (e.state != State::Running) continue;
    if (died) {
      ++e.deaths;
      e.died_under.push_back(worker_id);
    }
    requeue(e, died ? "its worker died" : "its worker went silent or left");
  }
}

void Dispatcher::release_credit(Entry& e) {
  if (Worker* worker = pool_.find(e.peer)) worker->outstanding.erase(e.q.turn_id);
}

std::vector<std::pair<std::string, std::string>> Dispatcher::at_work() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [turn_id, entry] : entries_) {
    const auto worker = pool_.all().find(entry.peer);
    if (entry.state != State::Running || entry.steps.accepted_at == Wall{} || worker == pool_.all().end())
      continue;
    out.emplace_back(entry.q.job.job_id, worker->second.worker_id);
  }
  return out;
}

std::string_view Dispatcher::stage_of(std::int64_t turn_id) const {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end()) return {};
  switch (it->second.state) {
    case State::Waiting:
      return "queued";
    case State::MayRun:
      return "leased before the gateway's start";
    case State::Leasing:
      return "being leased";
    case State::Running:
      if (it->second.text_came) return "streaming";
      return it->second.steps.accepted_at == Wall{} ? "leased" : "accepted by its worker";
    case State::Settling:
      return "being settled";
    case State::Requeueing:
      return "being queued again";
  }
  return {};
}

std::string_view Dispatcher::unserved() const {
  for (const char* provider : kProviders)
    if (queue_.any(provider) && pool_.count(provider) == 0) return provider;
  return {};
}

std::size_t Dispatcher::in_hand() const {
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& e) {
    return e.second.state != State::Waiting && e.second.state != State::MayRun;
  }));
}

}  // namespace katana::gateway
