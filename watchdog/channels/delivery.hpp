#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "watchdog/channels/channel.hpp"
#include "watchdog/channels/disk.hpp"

namespace katana::watchdog {

/// A channel with its spool: a notice is on disk before it is sent and leaves the disk when the other side
/// has taken it; order is kept, but for a notice that is refused again and again; a failure is repeated with
/// back-off until it works, by the next process if need be. Owned by the watchdog; loop thread only.
class Delivery {
 public:
  /// Waiting notices at most; above it the newest are dropped and counted (the book bounds them long before).
  static constexpr std::size_t kMost = 1000;
  /// A notice that no one took for this long is given up: it would only mislead.
  static constexpr Seconds kTooOld{24 * 3600};
  /// Failures in a row before the others are told; a refused key is told at once.
  static constexpr int kFailures = 2;
  /// What isn't on disk by then is sent from memory: a disk that hangs must not keep anybody from being told.
  static constexpr Millis kStoredWithin{2'000};
  /// A channel ends each call by itself; one that hasn't by then never will.
  static constexpr Seconds kStuck{180};
  /// Where no notice shows it, the other side is asked this often whether it would take one; a failure again
  /// after kLookAgain.
  static constexpr Seconds kLook{3'600};
  static constexpr Seconds kLookAgain{60};
  /// Refusals of one notice for its own sake; then it lets the others pass and is tried when none waits.
  static constexpr int kRefusals = 5;

  struct Events {
    std::function<void(const Error&)> on_failing;  ///< once, until it works again
    std::function<void()> on_working;              ///< after on_failing
  };
  struct Status {
    std::string name;
    std::size_t waiting = 0;
    bool failing = false;
    std::string last_error;
    std::uint64_t sent = 0;
    std::uint64_t dropped = 0;
    std::optional<Wall> last_sent;
  };

  Delivery(loop::Loop& loop, const Clock& clock, Disk& disk, std::unique_ptr<Channel> channel,
           std::string directory, Events events);

  /// Makes the directory and takes up what an earlier process left. Blocks: before the loop runs.
  Result<void> load();
  /// An earlier process told that it fails; the next success says that it works.
  void resume_failing() { told_ = failed_sending_ = true; }
  /// `then`, if given, hears of the first try's outcome. A test goes before what waits: somebody waits for
  /// it.
  void accept(const Notice& notice, std::function<void(Result<Receipt>)> then = {});
  /// The same channel with fresh secrets; what waits is tried at once.
  void replace(std::unique_ptr<Channel> channel);
  /// Whether a notice would get through now, as far as that can be known without sending one: it can be
  /// stored and read again, nothing is stuck before it, and the other side would take it.
  void check(const Notice& notice, std::function<void(Result<void>)> then);
  /// Sends what waits; nothing is tried before this.
  void start();

  [[nodiscard]] const std::string& name() const { return channel_->name(); }
  [[nodiscard]] Status status() const;
  /// What waits in the spool, oldest first.
  [[nodiscard]] std::vector<Notice> waiting() const;
  /// Nothing waits, or what waits has to wait: for its next try.
  [[nodiscard]] bool idle() const { return waiting_.empty() || retry_; }

 private:
  struct Item {
    std::uint64_t number = 0;
    Notice notice;
    Mono since{};  ///< when it was accepted, also by an earlier process
    bool stored = false;
    std::function<void(Result<Receipt>)> then{};
    int refusals = 0;
    [[nodiscard]] bool set_back() const { return refusals >= kRefusals; }
  };
  [[nodiscard]] std::string path_of(const Item& item) const;
  [[nodiscard]] std::string threads_path() const { return directory_ + "/threads"; }
  void read_threads();
  void keep_thread(const std::string& incident, const std::string& thread);
  [[nodiscard]] std::string thread_of(const std::string& incident) const;
  void stored(std::uint64_t number);
  void limit_storing();
  void adopt();
  void pump();
  void look();
  void probe(std::function<void(Result<void>)> then);
  void ask_channel();
  void tell_failing(const Error& error);
  void tell_working();
  /// After an outcome, which came from the channel: that may be replaced only when it isn't on the stack.
  void go_on(Millis wait);
  void done(Result<Receipt> result);
  void failed(const Error& error);
  /// Behind all but those that are set back, and not before the one that is being sent.
  void queue(Item item);
  void finish_front();
  /// How long the channel's own limit makes the next notice wait; 0: it may go now, and is counted.
  [[nodiscard]] Millis take_turn();

  loop::Loop& loop_;
  const Clock& clock_;
  Disk& disk_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<Channel> next_;  ///< takes over when what is being sent has ended
  std::string directory_;
  Events events_;
  std::deque<Item> waiting_;                                 ///< those that are set back stand last
  std::deque<std::pair<std::string, std::string>> threads_;  ///< incident -> thread, oldest first
  std::uint64_t next_number_ = 1;
  bool started_ = false;
  bool sending_ = false;
  Mono sending_since_{};
  bool told_ = false;
  bool refused_ = false;         ///< the last try, for the notice's own sake
  bool failed_sending_ = false;  ///< the last notice that was tried; a probe may not see why
  bool limited_ = false;         ///< the last try, by the other side's flood limit
  double turns_ = 0;             ///< notices that may go at once
  Mono counted_{};
  int failures_ = 0;
  Backoff backoff_{Millis{1'000}, Millis{60'000}};
  loop::Timer retry_;
  loop::Timer unstored_;  ///< runs out when a notice isn't stored in time
  loop::Timer look_;
  int failed_looks_ = 0;
  std::vector<std::function<void(Result<void>)>> probes_;  ///< who waits for the channel's word
  std::string last_error_;
  std::uint64_t sent_ = 0;
  std::uint64_t dropped_ = 0;
  std::optional<Wall> last_sent_;
};

}  // namespace katana::watchdog
