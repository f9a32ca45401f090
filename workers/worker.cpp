#include "workers/worker.hpp"

#include <algorithm>
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/log/log.hpp"

namespace katana::workers {
namespace {

/// A window that shrinks crosses with jobs that are under way; what exceeds it this many times is refused.
constexpr std::size_t kPatience = 4;

constexpr log::Room kLog{"worker"};

}  // namespace

Worker::Worker(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      keys_(options_.keys),
      blobs_(
          [this](std::size_t gateway, const bus::BlobGet& get) {
            return links_[gateway]->joined() && links_[gateway]->send(get).has_value();
          },
          [this](const std::string& job_id, Result<Blobs> blobs) { on_files(job_id, std::move(blobs)); }),
      last_beat_(ports_.clock.mono()) {}

std::size_t Worker::add_gateway(std::string endpoint, std::unique_ptr<bus::JobClient> client) {
  links_.push_back(std::make_unique<Link>(std::move(endpoint), std::move(client), ports_.clock.mono()));
  return links_.size() - 1;
}

std::size_t Worker::gateways_joined() const {
  return static_cast<std::size_t>(
      std::count_if(links_.begin(), links_.end(), [](const auto& link) { return link->joined(); }));
}

Worker::Entry* Worker::find(const bus::JobRef& ref) {
  const auto at = entries_.find(ref.job_id);
  return at != entries_.end() && at->second.ref == ref ? &at->second : nullptr;
}

// ---- from a gateway ----

void Worker::on_message(std::size_t gateway, bus::Message message) {
  links_[gateway]->heard(ports_.clock.mono());
  std::visit([&](auto&& m) { on(gateway, std::forward<decltype(m)>(m)); }, std::move(message));
  set_busy();
  look_if_drained();
}

/// Rule 1: what the gateway adopts goes on there, and it gets each one's text so far; what it doesn't want
/// ends here.
void Worker::on(std::size_t gateway, bus::Welcome welcome) {
  Link& link = *links_[gateway];
  if (welcome.protocol < bus::kProtocolVersion) {
    kLog.error("the gateway at {} speaks version {} of the protocol, this worker {}: update it",
               link.endpoint(), welcome.protocol, bus::kProtocolVersion);
    return;
  }
  if (!link.joined() || link.gateway_id() != welcome.gateway_id) {
    kLog.info("Joined the gateway {} at {}: it adopts {} jobs, drops {}", welcome.gateway_id, link.endpoint(),
              welcome.adopted.size(), welcome.unwanted.size());
  }
  link.welcome(std::move(welcome.gateway_id));
  for (const bus::JobRef& ref : welcome.adopted) {
    Entry* entry = find(ref);
    if (entry == nullptr) continue;
    if (!entry->outcome) {
      --links_[entry->gateway]->running;
      ++link.running;
    }
    entry->gateway = gateway;
    blobs_.move(ref.job_id, gateway);
    if (entry->outcome) {
      tell(*entry);
    } else {
      send_whole(*entry);
    }
  }
  for (const bus::JobRef& ref : welcome.unwanted) {
    Entry* entry = find(ref);
    // A gateway that never gave us the job has no say in it while the one that did is there.
    if (entry != nullptr && (entry->gateway == gateway || !links_[entry->gateway]->joined()))
      erase(ref.job_id);
  }
  update_credit();
}

void Worker::on(std::size_t gateway, bus::Job job) {
  const Mono now = ports_.clock.mono();
  ++progress_;
  std::uint64_t& epoch = epochs_[job.bot_id];
  if (job.epoch < epoch) {
    return refuse(gateway, job.job,
                  {Code::Rejected, "the job comes from a gateway that no longer leads this bot"});
  }
  epoch = job.epoch;
  const std::string job_id = job.job.job_id;
  if (const auto known = entries_.find(job_id); known != entries_.end()) {
    if (take_again(known->second, gateway, job)) return;
    erase(job_id);
  }
  if (entries_.size() >= kPatience * options_.jobs) {
    return refuse(gateway, job.job, {Code::Overloaded, "far more jobs than this worker gave credit for"});
  }
  Entry& entry = entries_[job_id];
  entry.ref = job.job;
  entry.gateway = gateway;
  entry.accepted = now;
  entry.deadline = now + Millis{job.time_left_ms};
  ++running_;
  ++links_[gateway]->running;
  accept(gateway, job.job);
  const bool files = std::any_of(job.turns.begin(), job.turns.end(),
                                 [](const bus::Turn& turn) { return !turn.attachments.empty(); });
  if (!files) return start(entry, std::move(job), {});
  entry.waits_for_files = std::move(job);
  blobs_.pull(job_id, gateway, std::vector<bus::Turn>(entry.waits_for_files->turns), now);
}

/// The job is known. True: nothing more is to be done; false: what we have of it gives way to this one.
bool Worker::take_again(Entry& entry, std::size_t gateway, const bus::Job& job) {
  if (job.job.attempt < entry.ref.attempt) {
    refuse(gateway, job.job, {Code::Rejected, "a later attempt at this job is in hand"});
    return true;
  }
  if (job.job.attempt > entry.ref.attempt) return false;
  if (!entry.outcome) {
    accept(gateway, job.job);
    return true;
  }
  // A lease whose commit failed is cancelled, then given again under the same number.
  const auto* failed = std::get_if<bus::JobFailed>(&*entry.outcome);
  if (failed != nullptr && failed->error.code == Code::Cancelled) return false;
  entry.gateway = gateway;
  tell(entry);
  return true;
}

/// Rule 6: works in every state. What has ended stays ended; what was never heard of has ended too.
void Worker::on(std::size_t gateway, const bus::Cancel& cancel) {
  Entry* entry = find(cancel.job);
  const Error why{Code::Cancelled, "stopped on request"};
  if (entry == nullptr) return refuse(gateway, cancel.job, why);
  if (entry->outcome) return tell(*entry);
  if (entry->call) return entry->call->stop(why);
  blobs_.drop(cancel.job.job_id);
  fail(*entry, why);
}

void Worker::on(std::size_t, const bus::Committed& committed) {
  const Entry* entry = find(committed.job);
  if (entry != nullptr && entry->outcome) erase(committed.job.job_id);
}

void Worker::on(std::size_t, const bus::BlobPart& part) {
  blobs_.on_part(part, ports_.clock.mono());
}

/// Said once: should it be lost, the gateway misses the job in our beats.
void Worker::refuse(std::size_t gateway, const bus::JobRef& ref, Error error) {
  kLog.info("job {} attempt {} is refused: {}", ref.job_id, ref.attempt, error.detail);
  (void)links_[gateway]->send(bus::JobFailed{.job = ref, .error = std::move(error)});
}

// ---- at the provider ----

std::unique_ptr<Call> Worker::take_call() {
  if (!idle_calls_.empty()) {
    auto call = std::move(idle_calls_.back());
    idle_calls_.pop_back();
    return call;
  }
  const Call::Means means{ports_.provider, ports_.http, ports_.clock, keys_, options_.log_messages};
  Call::Owner& owner = *this;
  return std::make_unique<Call>(means, owner);
}

void Worker::start(Entry& entry, bus::Job job, Blobs blobs) {
  entry.call = take_call();
  entry.call->begin(std::move(job), std::move(blobs), entry.deadline);
}

void Worker::on_files(const std::string& job_id, Result<Blobs> blobs) {
  const auto at = entries_.find(job_id);
  if (at == entries_.end() || !at->second.waits_for_files) return;
  Entry& entry = at->second;
  if (!blobs) return fail(entry, with_context(blobs.error(), "fetching an attachment"));
  bus::Job job = std::move(*entry.waits_for_files);
  entry.waits_for_files.reset();
  start(entry, std::move(job), std::move(*blobs));
}

void Worker::on_text(Call& call) {
  Entry* entry = find(call.ref());
  if (entry == nullptr || (entry->seq == 0 && flush(*entry))) return;  // the first piece goes at once
  gathering_.push_back({entry->ref.job_id, ports_.clock.mono()});
}

void Worker::on_end(Call& call) {
  ++progress_;
  Entry* entry = find(call.ref());
  if (entry == nullptr) return;
  if (call.failure()) {
    fail(*entry, *call.failure());
  } else {
    Answer& answer = call.answer();
    const std::size_t bytes = answer.text.size();
    settle(*entry,
           bus::JobResult{.job = entry->ref,
                          .text = std::move(answer.text),
                          .usage = answer.usage,
                          .stop = answer.stop.value_or(bus::StopReason::End),
                          .model = std::move(answer.model),
                          .request_id = call.request_id().empty() ? answer.id : call.request_id(),
                          .upstream_ms = static_cast<std::uint32_t>(call.took().count())},
           bytes);
  }
  tails_.push_back(std::move(entry->call));
  set_busy();
}

void Worker::on_hold(Millis wait) {
  const Mono until = ports_.clock.mono() + std::min(wait, kLongestHold);
  if (until <= hold_until_) return;
  hold_until_ = until;
  kLog.debug("{} wants fewer requests: no new jobs for {} ms", ports_.provider.name(), wait.count());
  update_credit();
}

void Worker::on_report(const CallReport& report) {
  const bool answered = report.outcome == kAnswered;
  const bool by_provider =
      report.outcome != to_string(Code::Cancelled) && report.outcome != to_string(Code::Rejected);
  if (report.outcome != to_string(Code::Cancelled)) ++requests_;
  if (answered) {
    failures_in_a_row_ = 0;
    key_refused_ = false;
  } else if (by_provider) {
    ++failures_in_a_row_;
    ++failed_requests_;
    key_refused_ = report.outcome == to_string(Code::Auth) || report.outcome == to_string(Code::Quota);
  }
  ports_.on_report(report);
}

void Worker::set_keys(std::vector<Secret> keys) {
  keys_ = KeyRing(std::move(keys));
  failures_in_a_row_ = 0;
  key_refused_ = false;
}

// ---- to a gateway ----

void Worker::fail(Entry& entry, Error error) {
  bus::JobFailed failed{.job = entry.ref, .error = std::move(error)};
  std::size_t bytes = 0;
  if (entry.call) {
    failed.partial_text = std::move(entry.call->answer().text);
    failed.usage = entry.call->answer().usage;
    failed.request_id = entry.call->request_id();
    bytes = failed.partial_text.size();
  }
  if (failed.error.code != Code::Cancelled) {
    last_error_ = std::string(to_string(failed.error.code)) + " from " + std::string(ports_.provider.name());
  }
  settle(entry, std::move(failed), bytes);
}

void Worker::settle(Entry& entry, bus::Message outcome, std::size_t bytes) {
  entry.waits_for_files.reset();
  entry.outcome = std::move(outcome);
  entry.outcome_bytes = bytes;
  held_bytes_ += bytes;
  --running_;
  --links_[entry.gateway]->running;
  tell(entry);
}

void Worker::accept(std::size_t gateway, const bus::JobRef& ref) {
  accepted_.emplace_back(gateway, ref);
  speak_soon();
}

/// Says a job's outcome by the end of this turn. What can't go then, or gets lost, is said again by `tick`
/// and `beat` until it is committed.
void Worker::tell(Entry& entry) {
  entry.told.reset();
  ended_.push_back(entry.ref.job_id);
  speak_soon();
}

void Worker::tell_now(Entry& entry) {
  Link& link = *links_[entry.gateway];
  if (!link.joined() || !link.send(*entry.outcome)) return;
  fail_point("result_sent");
  entry.told = ports_.clock.mono();
}

void Worker::speak_soon() {
  const std::size_t words = accepted_.size() + ended_.size();
  if (words >= kWords) return speak();
  if (words == 1) ports_.on_words();
}

void Worker::speak() {
  for (const auto& [gateway, ref] : accepted_)
    (void)links_[gateway]->send(bus::Accept{ref});  // lost: the next beat says the same
  if (!accepted_.empty()) fail_point("accepted");
  accepted_.clear();
  for (const std::string& job_id : ended_) {
    const auto at = entries_.find(job_id);
    if (at != entries_.end() && at->second.outcome && !at->second.told) tell_now(at->second);
  }
  ended_.clear();
}

/// Sends the text that came since the last piece. False: not sent; it goes with the next one.
bool Worker::flush(Entry& entry) {
  Link& link = *links_[entry.gateway];
  if (!link.joined() || !entry.call) return false;
  auto& chunk = std::get<bus::Chunk>(chunk_);
  chunk.job = entry.ref;
  chunk.seq = entry.seq;
  chunk.whole = false;
  chunk.text = entry.call->fresh();
  if (!link.send(chunk_)) return false;
  if (entry.seq == 0) fail_point("first_chunk");
  entry.call->take_text();
  ++entry.seq;
  return true;
}

/// The text from its start, for a gateway that may have missed some of it. Not sent: Hello brings us here
/// again.
void Worker::send_whole(Entry& entry) {
  bus::Chunk chunk{.job = entry.ref, .seq = entry.seq, .text = {}, .whole = true};
  if (entry.call) chunk.text = entry.call->answer().text;  // none yet: its files are under way
  if (!links_[entry.gateway]->send(chunk)) return;
  if (entry.call) entry.call->take_text();
  ++entry.seq;
}

void Worker::erase(const std::string& job_id) {
  const auto at = entries_.find(job_id);
  if (at == entries_.end()) return;
  Entry entry = std::move(at->second);
  entries_.erase(at);  // first: the call's end finds nobody to tell
  blobs_.drop(job_id);
  if (entry.outcome) {
    held_bytes_ -= entry.outcome_bytes;
  } else {
    --running_;
    --links_[entry.gateway]->running;
  }
  if (!entry.call) return;
  entry.call->stop({Code::Cancelled, "its gateway doesn't want it any more"});
  tails_.push_back(std::move(entry.call));
}

void Worker::leave() {
  speak();
  for (const auto& link : links_)
    (void)link->send(bus::Goodbye{});
}

}  // namespace katana::workers
