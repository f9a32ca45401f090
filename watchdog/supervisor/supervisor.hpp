#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/clock.hpp"
#include "watchdog/liveness/roster.hpp"
#include "watchdog/supervisor/restart.hpp"

namespace katana::watchdog {

/// What the parent is to do.
struct Order {
  enum class Kind { Start, Signal } kind = Kind::Start;
  std::string name;
  int signal = 0;
  friend bool operator==(const Order&, const Order&) = default;
};

/// Where a supervised process stands.
enum class Run {
  Waiting,   ///< for what it depends on
  Due,       ///< to be started, now or after its back-off
  Starting,  ///< ordered; the parent's word is outstanding, or it isn't ready yet
  Ready,
  Off,      ///< it ended with 0 and without a word: nothing for it to do
  Refused,  ///< it ended with 2: a setting is wrong, and starting again mends nothing
};
std::string_view to_string(Run run);

/// Decides when the processes of `katana up` are started, restarted and killed. The gateway comes first; the
/// others start when it is ready, or after kPatience without that. Pure: what it decides is handed out as
/// orders; the parent carries them out. It stops nothing by itself: an orderly stop is the parent's.
class Supervisor {
 public:
  static constexpr Millis kPatience{5'000};
  static constexpr Millis kAbortLimit{1'000};  ///< from SIGABRT to SIGKILL
  /// One that ends with 0 this early and without a word has nothing to do.
  static constexpr Millis kNothingToDo{30'000};

  explicit Supervisor(std::function<std::uint64_t()> random) : random_(std::move(random)) {}

  /// A process that belongs to the deployment.
  void plan(const std::string& name, const std::string& component, Mono now);
  /// It runs already (this watchdog replaces one that died), or was just started on our order.
  void running(const std::string& name, std::int64_t pid, Millis age, Mono now);
  /// It beats.
  void heard(const std::string& name);
  void ready(const std::string& name);
  /// Somebody asks for it: in good order (SIGTERM), then started again; at once what waits for its back-off,
  /// or was off. False if a start of it is under way.
  bool restart(const std::string& name, Mono now);
  /// It doesn't turn or doesn't work: to be killed, and then restarted as after any death.
  void hung(const std::string& name, Mono now);
  /// Its end; returns what becomes of it (Due, Off or Refused).
  Run exited(const std::string& name, const Ending& ending, Mono now);
  /// What is to be done by now. Call after every event, and from time to time.
  std::vector<Order> orders(Mono now);

  [[nodiscard]] bool plans(const std::string& name) const { return children_.count(name) != 0; }
  [[nodiscard]] const std::string& component_of(const std::string& name) const {
    return children_.at(name).component;
  }

 private:
  struct Child {
    std::string component;
    Run run = Run::Waiting;
    Mono planned{};
    Mono due{};
    Mono started{};
    bool was_heard = false;
    bool was_ready = false;
    bool ordered = false;  ///< a start is under way
    bool aborted = false;
    bool killed = false;
    bool hung = false;
    bool asked = false;  ///< to end, by a person
    bool told = false;   ///< to end, for that
    Mono kill_at{};
    Restart restart{};
  };
  [[nodiscard]] bool may_start(const Child& child, Mono now) const;

  std::function<std::uint64_t()> random_;
  std::map<std::string, Child> children_;
};

}  // namespace katana::watchdog
