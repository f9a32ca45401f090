// The part of Dispatcher that hears its workers: proto/README.md numbers the rules.
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/dispatch/dispatcher.hpp"

namespace katana::gateway {
namespace {

constexpr log::Room kLog{"dispatch"};

/// The words under an answer that didn't end by itself.
std::string with_ending(std::string text, bus::StopReason stop) {
  if (stop == bus::StopReason::Length) return text + phrases::cut_at_limit();
  const bool refused = stop == bus::StopReason::Refusal || stop == bus::StopReason::Filtered;
  if (text.empty() && refused) return phrases::refused_by_model();
  if (stop == bus::StopReason::Filtered) return text + phrases::cut_by_rules();
  return text;
}

}  // namespace

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
  // A worker whose key was replaced has closed its connection under the old one; a thief's victim hasn't.
  if (const Worker* old = pool_.find_by_id(hello.worker_id);
      old && !old->unreachable_since && bus::key_of(old->peer) != bus::key_of(peer)) {
    return kLog.warn("Refused worker {} from {}: that name belongs to a worker with another key",
                     hello.worker_id, peer);
  }
  std::unordered_set<std::int64_t> before;
  bool crossed = false;
  if (Worker* old = pool_.find_by_id(hello.worker_id)) {
    before = std::move(old->outstanding);
    const bus::PeerId old_peer = old->peer;
    crossed = old_peer == peer;
    pool_.remove(old_peer);
  }
  take_back_deaths(hello.worker_id);
  Worker& worker = pool_.add(peer, hello, clock_.mono());
  for (auto& ref : hello.in_hand) {
    Entry* e = find(ref);
    const bool ours =
        e && (e->state == State::MayRun || e->state == State::Running || e->state == State::Settling);
    if (!ours) {
      welcome.unwanted.push_back(std::move(ref));
      continue;
    }
    release_credit(*e);
    e->peer = peer;
    e->in_step = false;
    e->listed = clock_.mono();
    if (e->state == State::MayRun) e->state = State::Running;
    if (e->state == State::Running) worker.outstanding.insert(e->q.turn_id);
    before.erase(e->q.turn_id);
    welcome.adopted.push_back(std::move(ref));
  }
  kLog.info("Worker {} ({}, {}) joined, {} jobs in hand", worker.worker_id, worker.provider, worker.build,
            welcome.adopted.size());
  send(peer, welcome);
  for (const auto& ref : welcome.adopted) {
    if (find(ref)->cancelled) send(peer, bus::Cancel{ref});
  }
  for (const std::int64_t turn_id : before) {
    const auto it = entries_.find(turn_id);
    if (it == entries_.end() || it->second.state != State::Running) continue;
    // On one connection a job may have crossed with the Hello: whether it came is for the beats to say.
    if (crossed) {
      worker.outstanding.insert(turn_id);
    } else {
      requeue(it->second, "its worker came back without it");
    }
  }
  pump();
}

void Dispatcher::on(const bus::PeerId& peer, const bus::Beat& beat) {
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

void Dispatcher::on(const bus::PeerId& peer, const bus::Accept& accept) {
  Entry* e = running(peer, accept.job);
  if (!e) return;
  e->listed = clock_.mono();
  if (e->steps.accepted_at == Wall{}) e->steps.accepted_at = clock_.wall();
}

void Dispatcher::on(const bus::PeerId& peer, bus::Chunk chunk) {
  Entry* e = running(peer, chunk.job);
  if (!e) return;
  ++progress_;
  e->listed = clock_.mono();
  // Repeated, or late: what it says is known. A whole text that ends where we stand brings us into step
  // again.
  if (chunk.seq + (chunk.whole ? 1 : 0) < e->next_seq) return;
  if (chunk.whole) {
    e->in_step = true;
    e->next_seq = chunk.seq + 1;
    if (!chunk.text.empty()) text_came(*e, false);
    events_.on_whole(e->q.turn_id, std::move(chunk.text));
    return;
  }
  // A gap can only be healed by the whole text: from the worker after its next Hello, or in the result.
  if (!e->in_step || chunk.seq != e->next_seq) {
    e->in_step = false;
    return;
  }
  ++e->next_seq;
  text_came(*e, chunk.seq == 0);
  events_.on_text(e->q.turn_id, chunk.text);
}

/// Only the first piece itself tells when it came: a whole text may repeat what was heard before our start.
void Dispatcher::text_came(Entry& e, bool first_piece) {
  if (!std::exchange(e.text_came, true) && first_piece) e.steps.first_text_at = clock_.wall();
}

/// Rule 4: applied by compare-and-set; a late or repeated result is answered `Committed` and ignored.
void Dispatcher::on(const bus::PeerId& peer, bus::JobResult result) {
  Entry* e = find(result.job);
  if (e && e->state == State::Settling) return;  // answered when it is durable
  if (!e || (e->state != State::Running && e->state != State::MayRun)) {
    events_.on_stale();
    send(peer, bus::Committed{std::move(result.job)});
    return;
  }
  fail_point("result_received");
  release_credit(*e);
  e->peer = peer;
  events_.on_result(result, e->q.provider);
  events_.on_usage(e->q.provider, e->q.model, result.usage);
  settle(*e,
         Settlement{.job = std::move(result.job),
                    .provider = e->q.provider,
                    .model = e->q.model,  // as it was asked for, which prices go by; servers say it longer
                    .text = with_ending(std::move(result.text), result.stop),
                    .usage = result.usage,
                    .request_id = std::move(result.request_id)});
}

void Dispatcher::on(const bus::PeerId& peer, bus::JobFailed failed) {
  Entry* e = find(failed.job);
  if (e && e->state == State::Settling) return;
  // A lease that was taken back may be another worker's by now, under the same number.
  const bool its_own = e && (e->state == State::MayRun || (e->state == State::Running && e->peer == peer));
  if (!its_own) {
    send(peer, bus::Committed{std::move(failed.job)});
    return;
  }
  release_credit(*e);
  e->peer = peer;
  events_.on_usage(e->q.provider, e->q.model, failed.usage);
  // The end of a lease that was taken back has the number of the one that took its place.
  if (failed.error.code == Code::Cancelled && !e->cancelled) {
    send(peer, bus::Committed{std::move(failed.job)});
    return requeue(*e, "its worker stopped it unasked", failed.request_id, failed.usage);
  }
  events_.on_failure(failed, e->q.provider);
  fail(*e, failed);
}

void Dispatcher::on(const bus::PeerId& peer, const bus::BlobGet& get) {
  bus::BlobPart part{.sha256 = get.sha256, .offset = get.offset};
  if (!events_.blob || !events_.blob(get.sha256, get.offset, part)) part.missing = true;
  send(peer, part);
}

void Dispatcher::on(const bus::PeerId& peer, bus::Goodbye) {
  lose(peer, false);
}

}  // namespace katana::gateway
