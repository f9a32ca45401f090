#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/bus/message.hpp"
#include "common/bus/port.hpp"
#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/net/http.hpp"
#include "workers/blobs.hpp"
#include "workers/call.hpp"
#include "workers/keys.hpp"
#include "workers/link.hpp"
#include "workers/provider.hpp"

namespace katana::workers {

/// The job table of a worker process: takes jobs from its gateways, puts them to the provider, sends text as
/// it comes, and keeps each outcome until it is committed. Owned by the program; loop thread only. It stands
/// on ports alone: the program calls `beat` every 500 ms, `tick` every `kTick` while `busy`, and `speak` when
/// asked to. Follows proto/README.md.
class Worker final : private Call::Owner {
 public:
  struct Options {
    std::string worker_id;  ///< fresh per process
    std::string build;
    std::vector<std::string> models;
    std::vector<Secret> keys;
    std::uint32_t jobs = 512;  ///< most jobs at once, shared by its gateways
    config::LogMessages log_messages = config::LogMessages::Summary;
  };
  struct Ports {
    Provider& provider;
    net::HttpClient& http;
    const Clock& clock;
    std::function<void(const CallReport&)> on_report;
    std::function<void(bool busy)> on_busy;  ///< `tick` is needed from now on, or no longer
    std::function<void()> on_words;          ///< `speak` is needed before the loop waits again
    std::function<void()> on_drained;        ///< once, after `drain`: nothing is in hand
  };

  static constexpr Millis kBeat{500};
  static constexpr Millis kTick{20};
  /// Deadlines and pauses of calls need no finer look than this.
  static constexpr Millis kTickCalls{100};
  /// Text after the first piece is gathered this long: nobody sees more than a few edits a second, and every
  /// message costs both ends some 10 µs.
  static constexpr Millis kGather{60};
  static constexpr Millis kRepeatOutcome{1'000};
  static constexpr std::size_t kWords = 16;          ///< so many frames don't wait for the turn's end
  static constexpr std::size_t kMaxHeld = 64 << 20;  ///< outcomes not committed; above it: no credit
  static constexpr Millis kLongestHold{30'000};

  Worker(Options options, Ports ports);

  /// The index for `on_message`; links are never removed.
  std::size_t add_gateway(std::string endpoint, std::unique_ptr<bus::JobClient> client);
  /// The connection is there, for the first time or again: Hello is said now, and should that be refused,
  /// with the next beat.
  void on_connected(std::size_t gateway);
  void on_message(std::size_t gateway, bus::Message message);
  void beat();
  void tick();
  /// Says what gathered in this turn of the loop: which jobs were accepted, and which have ended. A frame of
  /// its own for each would wake ZeroMQ's threads at both ends each time.
  void speak();
  /// No new jobs; `on_drained` when those in hand are committed.
  void drain();
  /// For new calls, and for those that ask again.
  /// Nothing is held against them.
  void set_keys(std::vector<Secret> keys);
  /// The last word to every gateway.
  void leave();

  [[nodiscard]] bool busy() const { return busy_; }
  [[nodiscard]] std::size_t in_hand() const { return entries_.size(); }
  [[nodiscard]] std::size_t running() const { return running_; }
  [[nodiscard]] std::size_t gateways_joined() const;
  /// What only the worker knows of a heartbeat.
  void report(bus::Heartbeat& beat) const;

 private:
  /// A job in hand: fetching its files, at its provider, or ended and waiting to be committed.
  struct Entry {
    bus::JobRef ref;
    std::size_t gateway = 0;
    Mono accepted{};
    Mono deadline{};
    std::optional<bus::Job> waits_for_files;
    std::unique_ptr<Call> call;
    std::uint32_t seq = 0;  ///< of its next chunk
    std::optional<bus::Message> outcome;
    std::size_t outcome_bytes = 0;
    std::optional<Mono> told;  ///< when its outcome was sent last
  };
  struct Gathered {
    std::string job_id;
    Mono since;
  };

  void on_event() override { ++progress_; }
  void on_try() override { ++progress_; }
  void on_text(Call& call) override;
  void on_end(Call& call) override;
  void on_hold(Millis wait) override;
  void on_report(const CallReport& report) override;

  void on(std::size_t gateway, bus::Welcome welcome);
  void on(std::size_t gateway, bus::Job job);
  void on(std::size_t gateway, const bus::Cancel& cancel);
  void on(std::size_t gateway, const bus::Committed& committed);
  void on(std::size_t gateway, const bus::BlobPart& part);
  template <class T>
  void on(std::size_t, T) {}  // a worker's own words, or a beat: life was all it had to say

  bool take_again(Entry& entry, std::size_t gateway, const bus::Job& job);
  void start(Entry& entry, bus::Job job, Blobs blobs);
  void on_files(const std::string& job_id, Result<Blobs> blobs);
  void refuse(std::size_t gateway, const bus::JobRef& ref, Error error);
  void settle(Entry& entry, bus::Message outcome, std::size_t bytes);
  void fail(Entry& entry, Error error);
  void accept(std::size_t gateway, const bus::JobRef& ref);
  void tell(Entry& entry);
  void tell_now(Entry& entry);
  void speak_soon();
  bool flush(Entry& entry);
  void send_whole(Entry& entry);
  void erase(const std::string& job_id);

  Entry* find(const bus::JobRef& ref);
  std::unique_ptr<Call> take_call();
  void tick_calls(Mono now);
  void say_hello(Link& link);
  void send_beat(std::size_t gateway);
  void update_credit();
  [[nodiscard]] std::uint32_t window(const Link& link) const;
  void set_busy();
  void look_if_drained();

  Options options_;
  Ports ports_;
  KeyRing keys_;
  std::vector<std::unique_ptr<Link>> links_;
  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<std::int64_t, std::uint64_t> epochs_;  ///< highest seen, by bot
  BlobPuller blobs_;
  std::deque<Gathered> gathering_;
  std::vector<std::unique_ptr<Call>> tails_;  ///< ended, their connections being emptied
  std::vector<std::unique_ptr<Call>> idle_calls_;
  std::vector<std::pair<std::size_t, bus::JobRef>> accepted_;  ///< not said yet: gateway, job
  std::vector<std::string> ended_;                             ///< jobs whose outcome waits to be said
  bus::Message chunk_ = bus::Chunk{};  ///< used again for every chunk, so that its memory is
  std::size_t running_ = 0;
  std::size_t held_bytes_ = 0;
  Mono hold_until_{};
  Mono last_beat_{};
  Mono calls_ticked_{};
  std::vector<std::string> due_;
  bool draining_ = false;
  bool drained_ = false;
  bool busy_ = false;
  std::uint64_t progress_ = 0;
  int failures_in_a_row_ = 0;   ///< of the provider's making
  std::uint64_t requests_ = 0;  ///< that ended, but for those that were cancelled
  std::uint64_t failed_requests_ = 0;
  bool key_refused_ = false;
  std::string last_error_;
};

}  // namespace katana::workers
