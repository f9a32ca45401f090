// The part of Dispatcher that ends a job, or begins it again elsewhere.
#include <algorithm>
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/dispatch/dispatcher.hpp"

namespace katana::gateway {
namespace {

constexpr int kPoisonDeaths = 2;

constexpr log::Room kLog{"dispatch"};

}  // namespace

void Dispatcher::settle(Entry& e, Settlement settlement) {
  release_credit(e);
  e.state = State::Settling;
  e.unsettled.reset();
  settlement.steps = e.steps;
  const std::int64_t turn_id = e.q.turn_id;
  auto kept = std::make_shared<Settlement>(settlement);  // in case the store can't take it now
  store_.settle(
      std::move(settlement), Done<Settled>{.durable = [this, turn_id, kept](Result<Settled> outcome) {
        if (outcome) return on_settled(turn_id, outcome, *kept);
        kLog.error("job {}: its result could not be stored: {}", kept->job.job_id, outcome.error().detail);
        const auto it = entries_.find(turn_id);
        if (it != entries_.end()) it->second.unsettled = std::move(*kept);
      }});
}

void Dispatcher::on_settled(std::int64_t turn_id, const Result<Settled>& outcome,
                            const Settlement& settlement) {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end()) return;
  fail_point("result_committed");
  Entry e = std::move(it->second);
  entries_.erase(it);
  by_job_.erase(e.q.job.job_id);
  ++progress_;
  if (!e.peer.empty()) send(e.peer, bus::Committed{e.q.job});
  if (e.holds_conversation) queue_.release(e.q.chat);
  if (*outcome == Settled::Applied) {
    events_.on_settled(turn_id, settlement.text);
    if (settlement.dead) events_.on_dead(e.q.job.job_id);
  } else {
    kLog.error("job {}: the store knows another attempt of it; this result was dropped", e.q.job.job_id);
  }
  pump();
}

void Dispatcher::fail(Entry& e, const bus::JobFailed& failed) {
  if (failed.partial_text.empty() && failed.error.code != Code::Cancelled && fall_back(e, failed)) return;
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
  release_credit(e);
  e.peer.clear();
  bus::JobFailed failed{.job = e.q.job, .error = std::move(error)};
  events_.on_failure(failed, e.q.provider);
  e.tried.assign(policy_.fallback.begin(), policy_.fallback.end());
  fail(e, failed);
}

/// The next provider of KATANA_FALLBACK that wasn't tried and has a worker: a new attempt there. False: none.
bool Dispatcher::fall_back(Entry& e, const bus::JobFailed& failed) {
  if (draining_ || e.cancelled) return false;
  e.tried.push_back(e.q.provider);
  for (const auto& provider : policy_.fallback) {
    const bool tried = std::find(e.tried.begin(), e.tried.end(), provider) != e.tried.end();
    if (tried || pool_.count(provider) == 0) continue;
    kLog.warn("job {}: {} failed, {} is asked instead", e.q.job.job_id, e.q.provider, provider);
    e.q.provider = provider;
    e.q.model = policy_.default_model(provider);
    requeue(e, std::string(to_string(failed.error.code)), failed.request_id, failed.usage);
    return true;
  }
  return false;
}

/// Rule 5: a new attempt, since the old one's worker is gone or has lost it.
void Dispatcher::requeue(Entry& e, std::string why, std::string request_id, bus::Usage usage) {
  release_credit(e);
  if (e.cancelled) return fail_here(e, Error{Code::Cancelled, "stopped by its user"});
  if (e.deaths >= kPoisonDeaths) return bury(e);
  const AttemptEnd end{std::move(why), std::move(request_id), e.deaths, usage, e.steps};
  e.state = State::Requeueing;
  const std::int64_t turn_id = e.q.turn_id;
  store_.requeue(e.q.job, end,
                 Done<bus::JobRef>{.durable = [this, turn_id, end](const Result<bus::JobRef>& next) {
                   on_requeued(turn_id, next, end);
                 }});
}

/// It may be the job that kills workers: it isn't given to a third one. Its user is told, and the question
/// waits among the dead letters for an operator's word.
void Dispatcher::bury(Entry& e) {
  release_credit(e);
  e.peer.clear();
  const Error error{Code::Internal, "two workers died under this job; it is not given to a third"};
  events_.on_failure({.job = e.q.job, .error = error}, e.q.provider);
  settle(e, Settlement{.job = e.q.job,
                       .provider = e.q.provider,
                       .model = e.q.model,
                       .text = phrases::dead_letter(e.q.job.job_id),
                       .answered = false,
                       .dead = true,
                       .error_code = std::string(to_string(error.code))});
}

/// Who says hello isn't dead: its connection was cut for longer than we waited.
void Dispatcher::take_back_deaths(const std::string& worker_id) {
  for (auto& [turn_id, e] : entries_) {
    e.deaths -= static_cast<int>(std::erase(e.died_under, worker_id));
  }
}

void Dispatcher::on_requeued(std::int64_t turn_id, const Result<bus::JobRef>& next, const AttemptEnd& end) {
  const auto it = entries_.find(turn_id);
  if (it == entries_.end() || it->second.state != State::Requeueing) return;
  Entry& e = it->second;
  if (!next && next.error().code == Code::Rejected) {  // it isn't leased: its lease was never committed
    e.peer.clear();
    return not_sent(e);
  }
  if (!next) {
    kLog.error("job {}: could not be queued again: {}", e.q.job.job_id, next.error().detail);
    e.unqueued = end;
    return;
  }
  e.q.job = *next;
  e.peer.clear();
  e.steps = {};
  kLog.info("job {}: queued again, attempt {}", next->job_id, next->attempt);
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
      requeue(*found, {});
      break;
    case State::Leasing:
    case State::Requeueing:
    case State::Settling:
      break;  // seen when that step ends
  }
  return true;
}

void Dispatcher::move_chat(std::int64_t from, std::int64_t to) {
  for (auto& [turn_id, e] : entries_)
    if (e.q.chat.chat_id == from) e.q.chat.chat_id = to;
  queue_.move_chat(from, to);
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

}  // namespace katana::gateway
