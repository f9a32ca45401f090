#include "gateway/dispatch/dispatcher.hpp"

#include <algorithm>
#include <array>
#include <utility>

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
constexpr int kPoisonDeaths = 2;
constexpr std::array<const char*, 2> kProviders{"claude", "openai"};

spdlog::logger& logger() {
  static auto log = log::room("dispatch");
  return *log;
}

/// The words under an answer that didn't end by itself.
std::string with_ending(std::string text, bus::StopReason stop) {
  if (stop == bus::StopReason::Length) return text + phrases::cut_at_limit();
  if (text.empty() && stop == bus::StopReason::Refusal) return phrases::refused_by_model();
  return text;
}

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

// ---- out: queue -> lease -> worker
// -------------------------------------------------------------------------------

void Dispatcher::pump() {
  if (draining_ || !bus_ || clock_.mono() < store_pause_until_) return;
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
      e.q.job, worker.worker_id, e.q.provider, e.q.model,
      Done<LeasedJob>{.applied =
                          [this, turn_id, ref = e.q.job](const Result<LeasedJob>& leased) {
                            const auto it = entries_.find(turn_id);
                            if (it == entries_.end() || it->second.state != State::Leasing) return;
                            if (leased) return send_job(turn_id, ref, *leased);
                            logger().error("job {}: the store gives no lease: {}", ref.job_id,
                                           leased.error().detail);
                            not_sent(it->second);
                            store_pause_until_ = clock_.mono() + kStorePause;
                          },
                      .durable = [this, turn_id, ref = e.q.job](
                                     Result<LeasedJob> leased) { on_lease_durable(turn_id, ref, leased); }});
}

void Dispatcher::send_job(std::int64_t turn_id, const bus::JobRef& ref, const LeasedJob& leased) {
  Entry& e = entries_.at(turn_id);
  bus::Job job{.bot_id = policy_.bot_id,
               .job = ref,
               .time_left_ms = static_cast<std::uint32_t>(policy_.answer_time.count()),
               .model = e.q.model,
               .system = policy_.system_prompt,
               .turns = leased.turns,
               .max_output_tokens = policy_.max_output_tokens(e.q.model)};
  const bool there = pool_.find(e.peer) != nullptr;
  if (!there || !send(e.peer, job))
    return requeue(e, false);  // the lease names that worker: it can't just move on
  e.state = State::Running;
  e.next_seq = 0;
  e.in_step = true;
  e.listed = clock_.mono();
  if (e.cancelled) send(e.peer, bus::Cancel{ref});
}

/// There is no lease: the job is the next one again, with the same attempt.
void Dispatcher::not_sent(Entry& e) {
  release_credit(e);
  e.state = State::Waiting;
  e.holds_conversation = false;
  queue_.put_back(e.q.chat, e.q.turn_id, e.q.provider);
}

/// The lease went out before its commit. When that fails, the worker is told to stop, and the job waits
/// again.
void Dispatcher::on_lease_durable(std::int64_t turn_id, const bus::JobRef& ref,
                                  const Result<LeasedJob>& leased) {
  if (leased) return;
  const auto it = entries_.find(turn_id);
  if (it == entries_.end() || it->second.q.job != ref) return;
  Entry& e = it->second;
  if (e.state != State::Leasing && e.state != State::Running) return;
  logger().error("job {}: its lease was not committed: {}", ref.job_id, leased.error().detail);
  send(e.peer, bus::Cancel{ref});
  store_pause_until_ = clock_.mono() + kStorePause;
  not_sent(e);
}

bool Dispatcher::send(const bus::PeerId& peer, const bus::Message& message) {
  const auto sent = bus_->send(peer, message);
  if (sent) return true;
  Worker* worker = pool_.find(peer);
  if (worker && sent.error().code == Code::Overloaded) worker->congested = true;
  if (worker && sent.error().code == Code::Network && !worker->unreachable_since) {
    worker->unreachable_since = clock_.mono();
    logger().warn("worker {} ({}): its connection is closed", worker->worker_id, worker->provider);
  }
  return false;
}

// ---- in: what workers say
// ----------------------------------------------------------------------------------------

void Dispatcher::on_message(const bus::PeerId& peer, bus::Message message) {
  if (Worker* worker = pool_.find(peer)) {
    worker->last_seen = clock_.mono();
    worker->unreachable_since.reset();
  }
  std::visit([&](auto&& m) { on(peer, std::forward<decltype(m)>(m)); }, std::move(message));
}

Dispatcher::Entry* Dispatcher::find(const bus::JobRef& job) {
  const auto id = by_job_.find(job.job_id);
  if (id == by_job_.end()) return nullptr;
  Entry& e = entries_.at(id->second);
  return e.q.job == job ? &e : nullptr;
}

Dispatcher::Entry* Dispatcher::running(const bus::PeerId& peer, const bus::JobRef& job) {
  Entry* e = find(job);
  return e && e->state == State::Running && e->peer == peer ? e : nullptr;
}

/// Rule 1: a worker says what it has in hand; what is still ours goes on there, the rest it may drop.
void Dispatcher::on(const bus::PeerId& peer, bus::Hello hello) {
  bus::Welcome welcome{.gateway_id = policy_.gateway_id};
  if (hello.role != bus::Role::Worker) {
    send(peer, welcome);
    return;
  }
  std::unordered_set<std::int64_t> before;
  if (Worker* old = pool_.find_by_id(hello.worker_id)) {
    before = std::move(old->outstanding);
    const bus::PeerId old_peer = old->peer;
    pool_.remove(old_peer);
  }
  Worker& worker = pool_.add(peer, hello, clock_.mono());
  for (auto& ref : hello.in_hand) {
    Entry* e = find(ref);
    const bool ours =
        e && (e->state == State::MayRun || e->state == State::Running || e->state == State::Settling);
    if (!ours) {
      welcome.unwanted.push_back(std::move(ref));
      continue;
    }
    e->peer = peer;
    e->in_step = false;
    e->listed = clock_.mono();
    if (e->state == State::MayRun) e->state = State::Running;
    if (e->state == State::Running) worker.outstanding.insert(e->q.turn_id);
    before.erase(e->q.turn_id);
    welcome.adopted.push_back(std::move(ref));
  }
  logger().info("Worker {} ({}, {}) joined, {} jobs in hand", worker.worker_id, worker.provider, worker.build,
                welcome.adopted.size());
  send(peer, welcome);
  for (const std::int64_t turn_id : before) {
    const auto it = entries_.find(turn_id);
    if (it != entries_.end() && it->second.state == State::Running) requeue(it->second, false);
  }
  pump();
}

void Dispatcher::on(const bus::PeerId& peer, bus::Beat beat) {
  const Mono now = clock_.mono();
  for (const auto& ref : beat.running) {
    if (Entry* e = running(peer, ref)) e->listed = now;
  }
}

void Dispatcher::on(const bus::PeerId& peer, bus::Credit credit) {
  Worker* worker = pool_.find(peer);
  if (!worker) return;
  worker->window = credit.window;
  pump();
}

void Dispatcher::on(const bus::PeerId& peer, bus::Accept accept) {
  if (Entry* e = running(peer, accept.job)) e->listed = clock_.mono();
}

void Dispatcher::on(const bus::PeerId& peer, bus::Chunk chunk) {
  Entry* e = running(peer, chunk.job);
  if (!e) return;
  ++progress_;
  e->listed = clock_.mono();
  if (chunk.whole) {
    e->in_step = true;
    e->next_seq = chunk.seq + 1;
    e->text_came = e->text_came || !chunk.text.empty();
    events_.on_whole(e->q.turn_id, std::move(chunk.text));
    return;
  }
  // A gap can only be healed by the whole text: from the worker after its next Hello, or in the result.
  if (!e->in_step || chunk.seq != e->next_seq) {
    e->in_step = false;
    return;
  }
  ++e->next_seq;
  e->text_came = true;
  events_.on_text(e->q.turn_id, chunk.text);
}

/// Rule 4: applied by compare-and-set; a late or repeated result is answered `Committed` and ignored.
void Dispatcher::on(const bus::PeerId& peer, bus::JobResult result) {
  Entry* e = find(result.job);
  if (e && e->state == State::Settling) return;  // answered when it is durable
  if (!e || (e->state != State::Running && e->state != State::MayRun)) {
    send(peer, bus::Committed{std::move(result.job)});
    return;
  }
  release_credit(*e);
  e->peer = peer;
  events_.on_result(result, e->q.provider);
  settle(*e, Settlement{.job = std::move(result.job),
                        .provider = e->q.provider,
                        .model = std::move(result.model),
                        .text = with_ending(std::move(result.text), result.stop),
                        .usage = result.usage,
                        .request_id = std::move(result.request_id)});
}

void Dispatcher::on(const bus::PeerId& peer, bus::JobFailed failed) {
  Entry* e = find(failed.job);
  if (e && e->state == State::Settling) return;
  if (!e || (e->state != State::Running && e->state != State::MayRun)) {
    send(peer, bus::Committed{std::move(failed.job)});
    return;
  }
  release_credit(*e);
  e->peer = peer;
  events_.on_failure(failed, e->q.provider);
  fail(*e, failed);
}

void Dispatcher::on(const bus::PeerId& peer, bus::BlobGet get) {
  bus::BlobPart part{.sha256 = get.sha256, .offset = get.offset};
  if (!events_.blob || !events_.blob(get.sha256, get.offset, part)) part.missing = true;
  send(peer, part);
}

void Dispatcher::on(const bus::PeerId& peer, bus::Goodbye) {
  lose(peer, false);
}

// ---- the end of a job
// ----------------------------------------------------------------------------------------------

void Dispatcher::settle(Entry& e, Settlement settlement) {
  release_credit(e);
  e.state = State::Settling;
  e.unsettled.reset();
  const std::int64_t turn_id = e.q.turn_id;
  auto kept = std::make_shared<Settlement>(settlement);  // in case the store can't take it now
  store_.settle(std::move(settlement),
                Done<Settled>{.durable = [this, turn_id, kept](Result<Settled> outcome) {
                  if (outcome) return on_settled(turn_id, outcome, kept->text);
                  logger().error("job {}: its result could not be stored: {}", kept->job.job_id,
                                 outcome.error().detail);
                  const auto it = entries_.find(turn_id);
                  if (it != entries_.end()) it->second.unsettled = std::move(*kept);
                }});
}

void Dispatcher::on_settled(std::int64_t turn_id, const Result<Settled>& outcome, const std::string& text) {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end()) return;
  Entry e = std::move(it->second);
  entries_.erase(it);
  by_job_.erase(e.q.job.job_id);
  ++progress_;
  if (!e.peer.empty()) send(e.peer, bus::Committed{e.q.job});
  if (e.holds_conversation) queue_.release(e.q.chat);
  if (*outcome == Settled::Applied) {
    events_.on_settled(turn_id, text);
  } else {
    logger().error("job {}: the store knows another attempt of it; this result was dropped", e.q.job.job_id);
  }
  pump();
}

void Dispatcher::fail(Entry& e, const bus::JobFailed& failed) {
  if (failed.partial_text.empty() && failed.error.code != Code::Cancelled && fall_back(e)) return;
  const std::string label = phrases::provider_label(e.q.provider);
  const std::string words =
      failed.partial_text.empty()
          ? phrases::job_failed(failed.error, label, e.q.job.job_id)
          : failed.partial_text + phrases::broken_off(failed.error, label, e.q.job.job_id);
  settle(e, Settlement{.job = e.q.job,
                       .provider = e.q.provider,
                       .model = e.q.model,
                       .text = words,
                       .answered = false,
                       .error_code = std::string(to_string(failed.error.code)),
                       .usage = failed.usage,
                       .request_id = failed.request_id});
}

/// A failure of our own making: no worker said it.
void Dispatcher::fail_here(Entry& e, Error error) {
  e.peer.clear();
  bus::JobFailed failed{.job = e.q.job, .error = std::move(error)};
  events_.on_failure(failed, e.q.provider);
  e.tried.assign(policy_.fallback.begin(), policy_.fallback.end());
  fail(e, failed);
}

/// The next provider of KATANA_FALLBACK that wasn't tried and has a worker: a new attempt there. False: none.
bool Dispatcher::fall_back(Entry& e) {
  if (draining_ || e.cancelled) return false;
  e.tried.push_back(e.q.provider);
  for (const auto& provider : policy_.fallback) {
    const bool tried = std::find(e.tried.begin(), e.tried.end(), provider) != e.tried.end();
    if (tried || pool_.count(provider) == 0) continue;
    logger().warn("job {}: {} failed, {} is asked instead", e.q.job.job_id, e.q.provider, provider);
    e.q.provider = provider;
    e.q.model = policy_.default_model(provider);
    requeue(e, false);
    return true;
  }
  return false;
}

/// Rule 5: a new attempt, since the old one's worker is gone or has lost it.
void Dispatcher::requeue(Entry& e, bool died) {
  release_credit(e);
  if (died) ++e.deaths;
  if (e.cancelled) return fail_here(e, Error{Code::Cancelled, "stopped by its user"});
  if (e.deaths >= kPoisonDeaths) {
    return fail_here(e, Error{Code::Internal, "two workers died under this job; it is not given to a third"});
  }
  e.state = State::Requeueing;
  e.unqueued = false;
  const std::int64_t turn_id = e.q.turn_id;
  store_.requeue(e.q.job, died, Done<bus::JobRef>{.durable = [this, turn_id](Result<bus::JobRef> next) {
                   on_requeued(turn_id, next);
                 }});
}

void Dispatcher::on_requeued(std::int64_t turn_id, const Result<bus::JobRef>& next) {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end() || it->second.state != State::Requeueing) return;
  Entry& e = it->second;
  if (!next && next.error().code == Code::Rejected) {  // it isn't leased: its lease was never committed
    e.peer.clear();
    return not_sent(e);
  }
  if (!next) {
    logger().error("job {}: could not be queued again: {}", e.q.job.job_id, next.error().detail);
    e.unqueued = true;
    return;
  }
  e.q.job = *next;
  e.peer.clear();
  logger().info("job {}: queued again, attempt {}", next->job_id, next->attempt);
  if (std::exchange(e.text_came, false)) events_.on_restart(turn_id);
  if (e.cancelled) return fail_here(e, Error{Code::Cancelled, "stopped by its user"});
  e.state = State::Waiting;
  e.holds_conversation = false;
  queue_.put_back(e.q.chat, turn_id, e.q.provider);
  pump();
}

bool Dispatcher::cancel(ChatKey chat) {
  Entry* found = nullptr;
  for (auto& [turn_id, e] : entries_) {
    if (e.q.chat != chat || e.cancelled || e.state == State::Settling) continue;
    if (!found || (found->state == State::Waiting && e.state != State::Waiting) ||
        (found->state == e.state && e.q.turn_id < found->q.turn_id)) {
      found = &e;
    }
  }
  if (!found) return false;
  found->cancelled = true;
  switch (found->state) {
    case State::Running:
      send(found->peer, bus::Cancel{found->q.job});
      break;
    case State::Waiting:
      queue_.remove(chat, found->q.turn_id);
      fail_here(*found, Error{Code::Cancelled, "stopped by its user"});
      break;
    case State::MayRun:
      requeue(*found, false);
      break;
    case State::Leasing:
    case State::Requeueing:
    case State::Settling:
      break;  // seen when that step ends
  }
  return true;
}

void Dispatcher::drop(std::int64_t turn_id) {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end()) return;
  Entry e = std::move(it->second);
  entries_.erase(it);
  by_job_.erase(e.q.job.job_id);
  if (Worker* worker = pool_.find(e.peer)) {
    worker->outstanding.erase(turn_id);
    send(e.peer, bus::Cancel{e.q.job});
  }
  if (e.state == State::Waiting) queue_.remove(e.q.chat, turn_id);
  if (e.holds_conversation) queue_.release(e.q.chat);
}

// ---- time
// ----------------------------------------------------------------------------------------------------------

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
      if (e.state == State::Running) beat.running.push_back(e.q.job);
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
    requeue(e, false);
  }
}

void Dispatcher::retry_store() {
  for (auto& [turn_id, e] : entries_) {
    if (e.unsettled) settle(e, Settlement(*e.unsettled));
    if (e.unqueued) requeue(e, false);
  }
}

void Dispatcher::lose(const bus::PeerId& peer, bool died) {
  Worker* worker = pool_.find(peer);
  if (!worker) return;
  logger().warn("worker {} ({}) is gone with {} jobs", worker->worker_id, worker->provider,
                worker->outstanding.size());
  const auto turns = std::move(worker->outstanding);
  pool_.remove(peer);
  for (const std::int64_t turn_id : turns) {
    Entry& e = entries_.at(turn_id);
    if (e.state == State::Running) requeue(e, died);
  }
}

void Dispatcher::release_credit(Entry& e) {
  if (Worker* worker = pool_.find(e.peer)) worker->outstanding.erase(e.q.turn_id);
}

}  // namespace katana::gateway
