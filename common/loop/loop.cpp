#include "common/loop/loop.hpp"

#include <csignal>
#include <stdexcept>
#include <string>

#include "common/loop/uv_state.hpp"

namespace katana::loop {

namespace detail {
namespace {

using TimerSource = Source<uv_timer_t>;
using WatchSource = Source<uv_poll_t, Ready>;
using SignalSource = Source<uv_signal_t, int>;

void must(int status, const char* doing) {
  if (status < 0) throw std::runtime_error(std::string(doing) + ": " + uv_strerror(status));
}

LoopState& state_of(void* data) {
  return *static_cast<LoopState*>(data);
}

/// libuv's clock has whole milliseconds and is cut off; one more keeps a timer from firing early.
std::uint64_t at_least(Millis delay) {
  return delay.count() <= 0 ? 0 : static_cast<std::uint64_t>(delay.count()) + 1;
}

}  // namespace

LoopState::LoopState() {
  must(uv_loop_init(&uv), "making the event loop");
  must(uv_async_init(&uv, &wakeup,
                     [](uv_async_t* h) {
                       state_of(h->data).woke();
                       state_of(h->data).run_posted();
                     }),
       "making the event loop's wake-up");
  uv_prepare_init(&uv, &prepare);
  uv_check_init(&uv, &check);
  uv_idle_init(&uv, &no_wait);
  uv_timer_init(&uv, &limit);
  wakeup.data = prepare.data = check.data = this;
  uv_prepare_start(&prepare, [](uv_prepare_t* h) { state_of(h->data).before_wait(); });
  uv_check_start(&check, [](uv_check_t* h) {
    state_of(h->data).woke();
    run_hooks(state_of(h->data).after);
  });
  turn_began = Clock::now();
}

LoopState::~LoopState() {
  deferred.clear();
  for (auto* hooks : {&before, &after}) {
    for (const auto& hook : *hooks)
      hook->close();
  }
  uv_walk(
      &uv,
      [](uv_handle_t* h, void* of) {
        auto& loop = state_of(of);
        const void* own[] = {&loop.wakeup, &loop.prepare, &loop.check, &loop.no_wait, &loop.limit};
        for (const void* mine : own) {
          if (h == mine) return uv_close(h, nullptr);
        }
        if (uv_is_closing(h) == 0) static_cast<HandleState*>(h->data)->close();
      },
      this);
  // Runs the close callbacks; nothing else is left. A `stop` that no run has seen makes the first one return
  // at once.
  do {
    uv_run(&uv, UV_RUN_DEFAULT);
  } while (uv_loop_close(&uv) == UV_EBUSY);
}

void LoopState::woke() {
  if (!waiting) return;
  waiting = false;
  const auto now = Clock::now();
  turn_began = now;
  if (wait_limit_ms < 0) return;
  // A process that was stopped, or got no processor, oversleeps: that is lag as much as a long callback is.
  const auto late = now - wait_began - Millis{wait_limit_ms + 1};
  if (late > Clock::duration::zero()) turn_began -= late;
}

void LoopState::before_wait() {
  woke();
  run_deferred();
  run_hooks(before);
  if (deferred.empty()) {
    uv_idle_stop(&no_wait);
  } else {
    uv_idle_start(&no_wait, [](uv_idle_t*) {});
  }
  wait_limit_ms = uv_backend_timeout(&uv);
  wait_began = Clock::now();
  finished_turn = wait_began - turn_began;
  waiting = true;
}

void LoopState::run_deferred() {
  std::vector<std::function<void()>> batch;
  batch.swap(deferred);
  for (auto& fn : batch)
    fn();
  batch.clear();
  if (deferred.empty()) deferred.swap(batch);  // keeps the memory
}

void LoopState::run_posted() {
  std::vector<std::function<void()>> batch;
  {
    const std::lock_guard<std::mutex> guard(lock);
    batch.swap(posted);
  }
  for (auto& fn : batch)
    fn();
}

void LoopState::run_hooks(Hooks& hooks) {
  for (std::size_t i = 0, n = hooks.size(); i < n; ++i) {
    const auto hook = hooks[i];  // a hook may add hooks, and drop itself
    hook->callback.call();
  }
  std::erase_if(hooks, [](const auto& hook) { return hook->callback.dropped; });
}

}  // namespace detail

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::move(other.state_);
  }
  return *this;
}

Handle::~Handle() {
  reset();
}

void Handle::reset() {
  if (const auto state = std::move(state_)) state->close();
}

Loop::Loop() {
  // A peer that is gone is an error of the write, never a signal. Children start with the default again.
  std::signal(SIGPIPE, SIG_IGN);
  state_ = std::make_unique<detail::LoopState>();
}

Loop::~Loop() = default;

void Loop::run() {
  uv_run(&state_->uv, UV_RUN_DEFAULT);
}

void Loop::run_once(Millis wait) {
  if (wait.count() <= 0) {
    uv_run(&state_->uv, UV_RUN_NOWAIT);
    return;
  }
  // It repeats: libuv runs what is due before it waits, and a limit that fired there would leave the wait
  // without one.
  const auto limit = static_cast<std::uint64_t>(wait.count());
  uv_update_time(&state_->uv);
  uv_timer_start(
      &state_->limit, [](uv_timer_t*) {}, limit, limit);
  uv_run(&state_->uv, UV_RUN_ONCE);
  uv_timer_stop(&state_->limit);
}

void Loop::stop() {
  uv_stop(&state_->uv);
}

namespace {

constexpr auto kSharedPeriod = static_cast<std::uint64_t>(Loop::kShared.count());

/// From now, by libuv's clock, to the next multiple of the period.
std::uint64_t to_multiple(std::uint64_t now, std::uint64_t period) {
  return period - now % period;
}

Timer start_timer(detail::LoopState& loop, std::uint64_t first, std::uint64_t period,
                  std::function<void()> fn) {
  auto source = std::make_shared<detail::TimerSource>(loop, std::move(fn));
  uv_timer_init(&loop.uv, &source->uv);
  source->opened();
  uv_update_time(&loop.uv);  // libuv's idea of now is as old as the turn
  uv_timer_start(
      &source->uv,
      [](uv_timer_t* h) {
        auto& timer = detail::TimerSource::of(h);
        const auto keep = timer.self;
        timer.loop.woke();
        const std::uint64_t repeat = uv_timer_get_repeat(h);
        if (repeat >= kSharedPeriod)
          uv_timer_start(h, h->timer_cb, to_multiple(uv_now(h->loop), repeat), repeat);
        timer.callback.call();
      },
      first, period);
  return Timer(std::move(source));
}

Handle add_hook(detail::LoopState::Hooks& hooks, std::function<void()> fn) {
  auto hook = std::make_shared<detail::Hook>(std::move(fn));
  hooks.push_back(hook);
  return Handle(std::move(hook));
}

}  // namespace

Timer Loop::after(Millis delay, std::function<void()> fn) {
  return start_timer(*state_, detail::at_least(delay), 0, std::move(fn));
}

Timer Loop::every(Millis period, std::function<void()> fn) {
  const auto whole = static_cast<std::uint64_t>(std::max(period, Millis{1}).count());
  if (whole < kSharedPeriod) return start_timer(*state_, whole + 1, whole, std::move(fn));
  uv_update_time(&state_->uv);
  const std::uint64_t next = to_multiple(uv_now(&state_->uv), whole);
  return start_timer(*state_, 2 * next < whole ? next + whole : next, whole, std::move(fn));
}

Handle Loop::watch(int fd, Io interest, std::function<void(Ready)> fn) {
  static_assert(UV_READABLE == static_cast<int>(Io::Read) && UV_WRITABLE == static_cast<int>(Io::Write));
  auto source = std::make_shared<detail::WatchSource>(*state_, std::move(fn));
  const auto on_event = [](uv_poll_t* h, int status, int events) {
    auto& watch = detail::WatchSource::of(h);
    const auto keep = watch.self;
    watch.loop.woke();
    watch.callback.call(Ready{(events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0, status < 0});
  };
  if (uv_poll_init(&state_->uv, &source->uv, fd) < 0) {
    // Not a descriptor that can be waited for, such as a regular file.
    later([source] { source->callback.call(Ready{false, false, true}); });
    return Handle(std::move(source));
  }
  source->opened();
  uv_poll_start(&source->uv, static_cast<int>(interest), on_event);
  return Handle(std::move(source));
}

Handle Loop::on_signal(int signo, std::function<void(int)> fn) {
  auto source = std::make_shared<detail::SignalSource>(*state_, std::move(fn));
  uv_signal_init(&state_->uv, &source->uv);
  source->opened();
  uv_signal_start(
      &source->uv,
      [](uv_signal_t* h, int number) {
        auto& signal = detail::SignalSource::of(h);
        const auto keep = signal.self;
        signal.loop.woke();
        signal.callback.call(number);
      },
      signo);
  return Handle(std::move(source));
}

Handle Loop::before_wait(std::function<void()> fn) {
  return add_hook(state_->before, std::move(fn));
}

Handle Loop::after_wait(std::function<void()> fn) {
  return add_hook(state_->after, std::move(fn));
}

void Loop::post(std::function<void()> fn) {
  bool first = false;
  {
    const std::lock_guard<std::mutex> guard(state_->lock);
    first = state_->posted.empty();
    state_->posted.push_back(std::move(fn));
  }
  if (first) uv_async_send(&state_->wakeup);  // one wake-up for all that gathers until the loop looks
}

void Loop::later(std::function<void()> fn) {
  state_->deferred.push_back(std::move(fn));
}

Millis Loop::last_turn() const {
  const auto so_far = detail::LoopState::Clock::now() - state_->turn_began;
  const auto longest = state_->waiting ? state_->finished_turn : std::max(state_->finished_turn, so_far);
  return std::chrono::duration_cast<Millis>(longest);
}

}  // namespace katana::loop
