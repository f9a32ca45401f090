#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace sandbox {

using Nanos = std::int64_t;
constexpr Nanos kMilli = 1'000'000;
constexpr Nanos kSecond = 1'000'000'000;

/// Monotonic time.
Nanos now_ns();
/// Seconds since 1970.
std::int64_t wall_seconds();

class Loop;

/// One wait on the loop. Its owner keeps it; dying cancels it; it can be armed again and again, from its own
/// callback too.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void at(Nanos due);
  void in(Nanos wait) { at(now_ns() + wait); }
  void cancel();
  bool armed() const { return place_ != kNowhere; }

 private:
  friend class Loop;
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  Loop& loop_;
  std::function<void()> fire_;
  Nanos due_ = 0;
  std::size_t place_ = kNowhere;
};

/// Something that may have to die inside its own callback: handed to `Loop::bury`, it lives to the end of the
/// turn.
class Mortal {
 public:
  virtual ~Mortal() = default;
};

/// Something with a descriptor that the loop watches.
class Watched : public Mortal {
 public:
  virtual void on_ready(std::uint32_t events) = 0;
};

/// Something that wants one call at the end of this turn (to flush, to answer a poll with all that the turn
/// brought).
class Deferred {
 public:
  virtual ~Deferred() = default;
  virtual void on_turn_end() = 0;

 private:
  friend class Loop;
  bool deferred_ = false;
};

/// The one epoll loop of the program: descriptors, timers, end-of-turn calls. Single thread.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void watch(int fd, std::uint32_t events, Watched* who);
  void change(int fd, std::uint32_t events, Watched* who);
  void forget(int fd);

  void defer(Deferred* who);
  /// Takes back a deferral: to be called by a Deferred that dies.
  void undefer(Deferred* who);
  void bury(std::unique_ptr<Mortal> dead) { graveyard_.push_back(std::move(dead)); }

  void run();
  void stop() { running_ = false; }
  /// One turn, waiting at most this long for something to happen.
  void turn(Nanos longest);

 private:
  friend class Timer;
  void place(std::size_t index, Timer* timer);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  void remove(Timer& timer);
  void fire_timers();

  int epoll_;
  bool running_ = true;
  std::vector<Timer*> heap_;
  std::vector<Deferred*> deferred_;
  std::vector<std::unique_ptr<Mortal>> graveyard_;
};

}  // namespace sandbox
