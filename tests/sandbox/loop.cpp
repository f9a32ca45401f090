#include "loop.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace sandbox {

Nanos now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

std::int64_t wall_seconds() {
  return ::time(nullptr);
}

Timer::Timer(Loop& loop, std::function<void()> fire) : loop_(loop), fire_(std::move(fire)) {}

Timer::~Timer() {
  cancel();
}

void Timer::at(Nanos due) {
  if (armed()) loop_.remove(*this);
  due_ = due;
  loop_.heap_.push_back(this);
  place_ = loop_.heap_.size() - 1;
  loop_.sift_up(place_);
}

void Timer::cancel() {
  if (armed()) loop_.remove(*this);
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw std::runtime_error(std::string("epoll: ") + std::strerror(errno));
}

Loop::~Loop() {
  graveyard_.clear();
  ::close(epoll_);
}

void Loop::watch(int fd, std::uint32_t events, Watched* who) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = who;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::runtime_error("epoll_ctl");
}

void Loop::change(int fd, std::uint32_t events, Watched* who) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = who;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Loop::forget(int fd) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::defer(Deferred* who) {
  if (who->deferred_) return;
  who->deferred_ = true;
  deferred_.push_back(who);
}

void Loop::undefer(Deferred* who) {
  if (!who->deferred_) return;
  for (auto& waiting : deferred_) {
    if (waiting == who) waiting = nullptr;
  }
}

// The heap has four children a node: fewer cache misses than two when thousands of streams tick.
void Loop::place(std::size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->place_ = index;
}

void Loop::sift_up(std::size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 4;
    if (heap_[parent]->due_ <= timer->due_) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, timer);
}

void Loop::sift_down(std::size_t index) {
  Timer* timer = heap_[index];
  for (;;) {
    const std::size_t first = index * 4 + 1;
    if (first >= heap_.size()) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < first + 4 && child < heap_.size(); ++child) {
      if (heap_[child]->due_ < heap_[least]->due_) least = child;
    }
    if (timer->due_ <= heap_[least]->due_) break;
    place(index, heap_[least]);
    index = least;
  }
  place(index, timer);
}

void Loop::remove(Timer& timer) {
  const std::size_t index = timer.place_;
  Timer* last = heap_.back();
  heap_.pop_back();
  timer.place_ = Timer::kNowhere;
  if (last == &timer) return;
  place(index, last);
  sift_down(index);
  sift_up(last->place_);
}

void Loop::fire_timers() {
  // What is armed while firing waits for the next turn, so that a timer of zero length can't keep the sockets
  // out.
  const Nanos now = now_ns();
  while (!heap_.empty() && heap_.front()->due_ <= now) {
    Timer* timer = heap_.front();
    remove(*timer);
    timer->fire_();
  }
}

void Loop::turn(Nanos longest) {
  Nanos wait = longest;
  if (!heap_.empty()) wait = std::min(wait, std::max<Nanos>(0, heap_.front()->due_ - now_ns()));
  if (!deferred_.empty()) wait = 0;
  const timespec spec{wait / kSecond, wait % kSecond};
  std::array<epoll_event, 128> events;  // NOLINT: filled by the kernel
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &spec, nullptr);
  for (int i = 0; i < count; ++i)
    static_cast<Watched*>(events[i].data.ptr)->on_ready(events[i].events);
  fire_timers();
  for (std::size_t i = 0; i < deferred_.size();
       ++i) {  // grows while it is walked: a poll answered is a socket to flush
    Deferred* who = deferred_[i];
    if (who == nullptr) continue;
    who->deferred_ = false;
    who->on_turn_end();
  }
  deferred_.clear();
  graveyard_.clear();
}

void Loop::run() {
  while (running_)
    turn(10 * kSecond);
}

}  // namespace sandbox
