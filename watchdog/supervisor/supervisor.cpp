#include "watchdog/supervisor/supervisor.hpp"

#include <csignal>

namespace katana::watchdog {

std::string_view to_string(Run run) {
  switch (run) {
    case Run::Waiting:
      return "waiting";
    case Run::Due:
      return "due";
    case Run::Starting:
      return "starting";
    case Run::Ready:
      return "ready";
    case Run::Off:
      return "off";
    case Run::Refused:
      return "refused";
  }
  return "waiting";
}

void Supervisor::plan(const std::string& name, const std::string& component, Mono now) {
  Child& child = children_[name];
  child.component = component;
  child.planned = now;
}

void Supervisor::running(const std::string& name, std::int64_t pid, Millis age, Mono now) {
  const auto it = children_.find(name);
  if (it == children_.end() || pid <= 0) return;
  Child& child = it->second;
  child.run = Run::Starting;
  child.ordered = child.hung = child.aborted = child.killed = child.was_heard = child.was_ready = false;
  child.asked = child.told = false;
  child.started = now - age;
}

void Supervisor::heard(const std::string& name) {
  if (const auto it = children_.find(name); it != children_.end()) it->second.was_heard = true;
}

void Supervisor::ready(const std::string& name) {
  const auto it = children_.find(name);
  if (it == children_.end() || it->second.run != Run::Starting || it->second.ordered) return;
  it->second.run = Run::Ready;
  it->second.was_heard = it->second.was_ready = true;
}

bool Supervisor::restart(const std::string& name, Mono now) {
  const auto it = children_.find(name);
  if (it == children_.end()) return false;
  Child& child = it->second;
  if (child.run == Run::Starting && child.ordered) return false;
  if (child.run == Run::Starting || child.run == Run::Ready) {
    child.asked = true;
  } else {
    child.run = Run::Due;
    child.due = now;
    child.restart = {};
  }
  return true;
}

void Supervisor::hung(const std::string& name, Mono now) {
  const auto it = children_.find(name);
  if (it == children_.end() || it->second.hung) return;
  Child& child = it->second;
  if ((child.run != Run::Starting && child.run != Run::Ready) || child.ordered) return;
  child.hung = true;
  child.kill_at = now + kAbortLimit;
}

Run Supervisor::exited(const std::string& name, const Ending& ending, Mono now) {
  const auto it = children_.find(name);
  if (it == children_.end()) return Run::Off;
  Child& child = it->second;
  const bool clean = ending.signal == 0 && ending.status == 0;
  const Millis lived =
      child.started == Mono{} ? Millis{0} : std::chrono::duration_cast<Millis>(now - child.started);
  if (ending.signal == 0 && ending.status == 2) {
    child.run = Run::Refused;
  } else if (clean && !child.was_heard && lived < kNothingToDo && !child.asked &&
             child.component != "gateway") {
    child.run = Run::Off;
  } else {
    child.run = Run::Due;
    if (child.asked) child.restart = {};  // no fault of its own
    child.due = now + child.restart.next(lived, random_());
  }
  child.started = {};  // a start that fails is no life of the one before
  child.ordered = child.hung = child.aborted = child.killed = child.was_heard = child.was_ready = false;
  child.asked = child.told = false;
  return child.run;
}

bool Supervisor::may_start(const Child& child, Mono now) const {
  if (child.component == "gateway" || now - child.planned >= kPatience) return true;
  for (const auto& [name, other] : children_)
    if (other.component == "gateway" && !other.was_ready) return false;
  return true;
}

std::vector<Order> Supervisor::orders(Mono now) {
  std::vector<Order> out;
  for (auto& [name, child] : children_) {
    if (child.run == Run::Waiting && may_start(child, now)) {
      child.run = Run::Due;
      child.due = now;
    }
    if (child.run == Run::Due && now >= child.due) {
      child.run = Run::Starting;
      child.ordered = true;
      out.push_back({Order::Kind::Start, name});
    }
    if (child.asked && !child.told) {
      child.told = true;
      out.push_back({Order::Kind::Signal, name, SIGTERM});
    }
    if (child.hung && !child.aborted) {
      child.aborted = true;
      out.push_back({Order::Kind::Signal, name, SIGABRT});
    } else if (child.hung && !child.killed && now >= child.kill_at) {
      // A stopped process takes no SIGABRT, and one that waits for a dead disk takes nothing else either.
      child.killed = true;
      out.push_back({Order::Kind::Signal, name, SIGKILL});
    }
  }
  return out;
}

}  // namespace katana::watchdog
