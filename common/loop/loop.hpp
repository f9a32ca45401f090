#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

namespace katana::loop {

namespace detail {
struct LoopState;
struct HandleState;
}  // namespace detail

/// A running timer, watch, signal or hook. Owned by whoever asked for it; destroying or resetting it stops
/// the callbacks at once, also from inside its own callback. Move-only; loop thread only.
class Handle {
 public:
  Handle() = default;
  explicit Handle(std::shared_ptr<detail::HandleState> state) : state_(std::move(state)) {}
  Handle(Handle&&) noexcept = default;
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();
  void reset();
  explicit operator bool() const { return state_ != nullptr; }

 private:
  std::shared_ptr<detail::HandleState> state_;
};

using Timer = Handle;

/// What a watch waits for, and what it found. `Both` = readable and writable.
enum class Io { Read = 1, Write = 2, Both = 3 };
struct Ready {
  bool readable = false;
  bool writable = false;
  bool failed = false;  ///< the descriptor is in error; reading or writing it will tell
};

/// How a child process ended.
struct Exit {
  int status = 0;  ///< exit status, if it ended by itself
  int signal = 0;  ///< signal number, if a signal ended it; else 0
};

/// What to start. The child gets `env` and nothing else of our environment, its own process group, and no
/// descriptor of ours but the given ones.
struct ChildSpec {
  std::vector<std::string> argv;  ///< argv[0] is a path, or a name to be found in PATH
  std::vector<std::string> env;   ///< "NAME=value"
  int stdin_fd = -1;              ///< -1: /dev/null
  int stdout_fd = -1;             ///< -1: ours
  int stderr_fd = -1;             ///< -1: ours
};

/// A child process. Dropping it does not end the process; it only stops the report of its exit.
class Child {
 public:
  Child() = default;
  explicit Child(std::shared_ptr<detail::HandleState> state) : state_(std::move(state)) {}
  Child(Child&&) noexcept = default;
  Child& operator=(Child&&) noexcept = default;
  [[nodiscard]] pid_t pid() const;  ///< 0 once its exit was reported
  void signal(int signo) const;     ///< to the process itself; nothing if it has ended
  explicit operator bool() const { return state_ != nullptr; }

 private:
  std::shared_ptr<detail::HandleState> state_;
};

/// The one event loop of a process, over libuv. Owned by `main` (through service); every call but `post` is
/// for the loop's thread. Callbacks run one at a time and must not block.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until `stop`, whether or not anything is left to wait for.
  void run();
  /// Runs what is ready, waiting at most `wait` for it: for tests that drive the loop by hand.
  void run_once(Millis wait);
  void stop();

  [[nodiscard]] Timer after(Millis delay, std::function<void()> fn);
  /// From kShared up, at the multiples of `period` on the clock of the machine: what repeats in this process,
  /// and in others beside it, then shares its wake-ups, which are what an idle machine pays for. The first
  /// time after half a period at least; what comes late doesn't make the next one late.
  [[nodiscard]] Timer every(Millis period, std::function<void()> fn);
  static constexpr Millis kShared{100};
  [[nodiscard]] Handle watch(int fd, Io interest, std::function<void(Ready)> fn);
  [[nodiscard]] Handle on_signal(int signo, std::function<void(int)> fn);
  /// Called in each turn just before the loop waits: where edge-triggered descriptors are drained.
  [[nodiscard]] Handle before_wait(std::function<void()> fn);
  /// Called in each turn just after the loop has waited.
  [[nodiscard]] Handle after_wait(std::function<void()> fn);

  /// Runs `fn` on the loop's thread soon. The one call that any thread may make.
  void post(std::function<void()> fn);
  /// Runs `fn` before the loop waits again, after the callback that is running now. Loop thread only.
  void later(std::function<void()> fn);

  /// Starts a program; `on_exit` is called once. Its exit is noticed through SIGCHLD by libuv at once.
  Result<Child> spawn(const ChildSpec& spec, std::function<void(Exit)> on_exit);

  /// Length of the last turn's work (time between two waits): the loop's lag as others feel it.
  [[nodiscard]] Millis last_turn() const;

 private:
  std::unique_ptr<detail::LoopState> state_;
};

}  // namespace katana::loop
