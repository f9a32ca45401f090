#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"
#include "gateway/dispatch/pool.hpp"
#include "gateway/dispatch/queue.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// A question on its way to an answer.
struct Question {
  std::int64_t turn_id = 0;
  ChatKey chat;
  bus::JobRef job;
  std::string provider;
  std::string model;
  int deaths = 0;        ///< workers that died while they held it
  bool may_run = false;  ///< leased before our start: a living worker may have it in hand
};

/// What the dispatcher tells the rooms around it. Text is the model's, as it comes.
struct DispatchEvents {
  std::function<void(std::int64_t turn_id, std::string_view piece)> on_text;
  std::function<void(std::int64_t turn_id, std::string whole)>
      on_whole;                                          ///< all so far, after a re-connection
  std::function<void(std::int64_t turn_id)> on_restart;  ///< a new attempt begins: nothing said yet
  std::function<void(std::int64_t turn_id, std::string text)> on_settled;  ///< durable: show this, whole
  std::function<void(const bus::JobResult&, const std::string& provider)> on_result;  ///< for log and metrics
  std::function<void(const bus::JobFailed&, const std::string& provider)> on_failure;
  /// What an attempt cost: once, when its end is taken. The model is named as it was asked for.
  std::function<void(const std::string& provider, const std::string& model, const bus::Usage&)> on_usage;
  std::function<void()> on_stale;  ///< a result of an attempt that is over: late or repeated, and dropped
  std::function<void(const std::string& job_id)> on_dead;  ///< durable: it is among the dead letters
  std::function<bool(const std::string& sha256, std::uint64_t offset, bus::BlobPart& part)>
      blob;  ///< optional
};

/// How jobs are made.
struct DispatchPolicy {
  std::int64_t bot_id = 0;
  std::string gateway_id;
  std::string system_prompt;
  std::vector<std::string> fallback;  ///< providers in order; empty: off
  std::function<std::string(const std::string& provider)> default_model;
  std::function<std::uint32_t(const std::string& model)> max_output_tokens;
  Millis answer_time{600'000};  ///< what a job may take at its worker
};

/// Hands jobs to workers and takes their results: credit, leases, attempts, fencing. Owns which question
/// stands where; what must survive is in the store. Follows proto/README.md; the numbers in comments are its
/// rules. Loop thread only.
class Dispatcher {
 public:
  Dispatcher(Store& store, const Clock& clock, DispatchPolicy policy, DispatchEvents events);

  /// The bus is bound after the unfinished turns are known, so that no worker's Hello meets an empty table.
  void attach(bus::JobServer& bus) { bus_ = &bus; }

  void add(Question question);
  /// Ends the question's answer. False when there is nothing to end.
  bool cancel(ChatKey chat);

  /// A group has another id from now on: its questions and its answers go on there.
  void move_chat(std::int64_t from, std::int64_t to);

  /// Forgets a question whose commit failed: it was handed out early, and is as if never asked.
  void drop(std::int64_t turn_id);

  void on_message(const bus::PeerId& peer, bus::Message message);
  /// Every 500 ms: beats, who is gone, what is missing.
  void tick();

  /// What its worker is at, for the operator: "streaming" once text came; empty: nothing is known of it here.
  [[nodiscard]] std::string_view stage_of(std::int64_t turn_id) const;
  /// Jobs that a worker has accepted and not answered yet, each with that worker's id.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> at_work() const;
  [[nodiscard]] std::size_t waiting() const { return queue_.waiting(); }
  /// A provider that questions wait for and that has no worker here; empty: none.
  [[nodiscard]] std::string_view unserved() const;
  [[nodiscard]] std::size_t in_flight() const { return entries_.size() - queue_.waiting(); }
  /// Jobs whose end is worth waiting for in a drain: neither those that wait nor those that a worker may have
  /// from before our start, and that nobody has reported yet.
  [[nodiscard]] std::size_t in_hand() const;
  [[nodiscard]] std::uint64_t progress() const { return progress_; }
  [[nodiscard]] const Pool& pool() const { return pool_; }
  [[nodiscard]] bool idle() const { return entries_.empty(); }
  /// No new job goes out; those under way go on.
  void drain() { draining_ = true; }

 private:
  enum class State { Waiting, MayRun, Leasing, Running, Settling, Requeueing };
  struct Entry {
    Question q;
    State state = State::Waiting;
    bus::PeerId peer;
    std::uint32_t next_seq = 0;
    bool in_step = true;  ///< no chunk was missed
    bool text_came = false;
    AttemptSteps steps;
    bool cancelled = false;
    bool holds_conversation = false;  ///< its conversation waits for it
    int deaths = 0;
    std::vector<std::string>
        died_under;                  ///< the workers of these deaths, as far as they came after our start
    Mono listed{};                   ///< when its worker last said that it has it
    std::vector<std::string> tried;  ///< providers that failed
    std::optional<Settlement> unsettled{};  ///< the store refused it: tried again at the next tick
    std::optional<AttemptEnd> unqueued{};   ///< likewise for a requeue
  };
  using Entries = std::unordered_map<std::int64_t, Entry>;

  void pump();
  void start(Entry& entry, Worker& worker);
  void send_job(std::int64_t turn_id, const bus::JobRef& ref, std::vector<bus::Turn> turns);
  void not_sent(Entry& entry);
  void on_lease_durable(std::int64_t turn_id, const bus::JobRef& ref, const Result<LeasedJob>& leased);

  void on(const bus::PeerId& peer, bus::Hello hello);
  void on(const bus::PeerId& peer, const bus::Beat& beat);
  void on(const bus::PeerId& peer, bus::Credit credit);
  void on(const bus::PeerId& peer, const bus::Accept& accept);
  void on(const bus::PeerId& peer, bus::Chunk chunk);
  void on(const bus::PeerId& peer, bus::JobResult result);
  void on(const bus::PeerId& peer, bus::JobFailed failed);
  void on(const bus::PeerId& peer, const bus::BlobGet& get);
  void on(const bus::PeerId& peer, bus::Goodbye);
  template <class T>
  void on(const bus::PeerId&, T) {}  // ours to send, not to get: ignored

  Entry* find(const bus::JobRef& job);
  Entry* running(const bus::PeerId& peer, const bus::JobRef& job);
  void text_came(Entry& entry, bool first_piece);
  void settle(Entry& entry, Settlement settlement);
  void on_settled(std::int64_t turn_id, const Result<Settled>& outcome, const Settlement& settlement);
  void fail(Entry& entry, const bus::JobFailed& failed);
  void fail_here(Entry& entry, Error error);
  bool fall_back(Entry& entry, const bus::JobFailed& failed);
  void requeue(Entry& entry, std::string why, std::string request_id = {}, bus::Usage usage = {});
  void bury(Entry& entry);
  void take_back_deaths(const std::string& worker_id);
  void on_requeued(std::int64_t turn_id, const Result<bus::JobRef>& next, const AttemptEnd& end);
  void lose(const bus::PeerId& peer, bool died);
  void release_credit(Entry& entry);
  void beat_all();
  void look_for_missing(Mono now);
  void retry_store();
  Result<void> send(const bus::PeerId& peer, const bus::Message& message);

  Store& store_;
  const Clock& clock_;
  DispatchPolicy policy_;
  DispatchEvents events_;
  bus::JobServer* bus_ = nullptr;
  Pool pool_;
  FairQueue queue_;
  Entries entries_;
  std::unordered_map<std::string, std::int64_t> by_job_;
  Mono started_;
  Mono last_tick_;
  Mono store_pause_until_{};
  std::uint64_t progress_ = 0;
  bool draining_ = false;
};

}  // namespace katana::gateway
