#pragma once

#include <functional>
#include <utility>

#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"

namespace katana::gateway {

/// Port: the one timer that the outbox needs, so that its tests run on simulated time. `set` replaces what
/// was set.
class Alarm {
 public:
  virtual ~Alarm() = default;
  virtual void set(Millis delay, std::function<void()> fn) = 0;
};

/// The Alarm on the process's loop.
class LoopAlarm final : public Alarm {
 public:
  explicit LoopAlarm(loop::Loop& loop) : loop_(loop) {}
  void set(Millis delay, std::function<void()> fn) override { timer_ = loop_.after(delay, std::move(fn)); }

 private:
  loop::Loop& loop_;
  loop::Timer timer_;
};

}  // namespace katana::gateway
