#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <uv.h>

#include "common/loop/loop.hpp"

/// Private to this room: what stands behind Loop and its handles.
namespace katana::loop::detail {

/// What a Handle points to. The loop holds a reference too for as long as libuv may look at it.
struct HandleState : std::enable_shared_from_this<HandleState> {
  HandleState() = default;
  HandleState(const HandleState&) = delete;
  HandleState& operator=(const HandleState&) = delete;
  virtual ~HandleState() = default;
  /// Stops the callbacks; any number of times, also from inside one.
  virtual void close() = 0;
};

/// A callback that may close its own source while it runs: its captures then live until it returns.
template <class... Args>
struct Callback {
  std::function<void(Args...)> fn;
  bool running = false;
  bool dropped = false;

  void call(Args... args) {
    if (dropped) return;
    running = true;
    fn(args...);
    running = false;
    if (dropped) fn = nullptr;
  }
  void drop() {
    dropped = true;
    if (!running) fn = nullptr;
  }
};

struct LoopState;

/// A libuv handle of type `Uv` and the callback behind it.
template <class Uv, class... Args>
struct Source final : HandleState {
  Source(LoopState& of, std::function<void(Args...)> f) : loop(of) { callback.fn = std::move(f); }

  LoopState& loop;
  Uv uv{};
  Callback<Args...> callback;
  std::shared_ptr<HandleState> self;  ///< set while libuv knows `uv`

  void opened() {
    self = shared_from_this();
    uv.data = static_cast<HandleState*>(this);
  }
  void close() override {
    callback.drop();
    auto* handle = reinterpret_cast<uv_handle_t*>(&uv);
    if (self == nullptr || uv_is_closing(handle) != 0) return;
    uv_close(handle, [](uv_handle_t* h) {
      auto* source = static_cast<Source*>(static_cast<HandleState*>(h->data));
      const auto last = std::move(source->self);
    });
  }
  static Source& of(Uv* handle) { return *static_cast<Source*>(static_cast<HandleState*>(handle->data)); }
};

/// A before_wait or after_wait hook: kept in the loop's own list, so that hooks run in the order they were
/// made.
struct Hook final : HandleState {
  explicit Hook(std::function<void()> f) { callback.fn = std::move(f); }
  Callback<> callback;
  void close() override { callback.drop(); }
};

struct LoopState {
  using Hooks = std::vector<std::shared_ptr<Hook>>;

  uv_loop_t uv{};
  uv_async_t wakeup{};
  uv_prepare_t prepare{};
  uv_check_t check{};
  uv_idle_t no_wait{};  ///< active only while `deferred` holds work: the next poll then returns at once
  uv_timer_t limit{};   ///< of run_once

  std::vector<std::function<void()>> deferred;
  Hooks before;
  Hooks after;

  /// Guards `posted` alone: the one place where other threads (the database's, the resolver's) reach the
  /// loop. Held for a push or a swap, never while a callback runs.
  std::mutex lock;
  std::vector<std::function<void()>> posted;

  using Clock = std::chrono::steady_clock;
  bool waiting = false;
  int wait_limit_ms = -1;  ///< what the poll was asked to wait at most
  Clock::time_point wait_began{};
  Clock::time_point turn_began{};  ///< earlier than the waking by as much as the waking was late
  Clock::duration finished_turn{};

  LoopState();
  ~LoopState();
  void woke();  ///< every callback of libuv begins with this: the first one of a turn starts its clock
  void before_wait();
  void run_deferred();
  void run_posted();
  static void run_hooks(Hooks& hooks);
};

}  // namespace katana::loop::detail
