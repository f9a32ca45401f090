#pragma once

#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "watchdog/supervisor/line_writer.hpp"
#include "watchdog/supervisor/output.hpp"
#include "watchdog/supervisor/restart.hpp"
#include "watchdog/supervisor/wire.hpp"

namespace katana::watchdog {

/// A process of the deployment, and how to start it.
struct Program {
  std::string name;       ///< its instance: `claude-1`
  std::string component;  ///< `claude`
  std::vector<std::string> argv;
  std::vector<std::string> env;
};

/// `katana up`: the parent of all processes, which starts, signals and reaps them on the watchdog's order,
/// restarts the watchdog, copies everybody's output to its own, and stops everything in order. Subreaper, so
/// that nothing that any of them leaves behind is lost. Owned by `main`; one a process.
class Parent {
 public:
  /// Longest orderly stop of each stage: the drain of a process (20 s), and its last words.
  static constexpr Millis kStopLimit{25'000};
  /// Without a line from the watchdog for this long it is killed, and replaced.
  static constexpr Millis kSilence{5'000};
  /// A process listens to signals this long after its start; before, they would end it.
  static constexpr Millis kListens{2'000};
  /// Ends that a watchdog's successor must hear of; above it the oldest are forgotten. With their last words
  /// less than LineWriter::kMost.
  static constexpr std::size_t kMostDeaths = 100;

  Parent(loop::Loop& loop, const Clock& clock, std::vector<Program> programs, Program watchdog,
         int output_fd);
  ~Parent();

  /// Runs until everything has stopped. The exit status: 0, or 130 when a second signal cut the stop short.
  int run();

 private:
  struct Process;

  void start(Process& p);
  void spawn(Process& p, int stdin_fd);
  void read_output(Process& p);
  static void remember(Process& p);
  void ended(Process& p, loop::Exit exit);
  void start_watchdog();
  void watchdog_ended(const Ending& ending);
  void tell(const FromParent& message);
  void hear();
  void obey(const FromWatchdog& message);
  void check_watchdog();
  void stop(int signo);
  void reload();
  void hand_on_reload(Process& p);
  void stop_next();
  void kill_all();
  [[nodiscard]] std::vector<pid_t> strangers() const;
  void reap_strangers();
  void kill_strangers();
  void signal_all(const std::vector<Process*>& stage, int signo);
  [[nodiscard]] std::vector<Process*> stage() const;

  loop::Loop& loop_;
  const Clock& clock_;
  Output output_;
  std::vector<std::unique_ptr<Process>> programs_;
  std::unique_ptr<Process> watchdog_;
  /// Deaths that a new watchdog must hear of: none before it has said that it keeps them.
  struct Death {
    Running was;
    Exited how;
    std::vector<Said> last_words;
  };
  std::deque<Death> deaths_;

  int socket_ = -1;
  loop::Handle socket_watch_;
  std::unique_ptr<LineWriter> to_watchdog_;
  Lines lines_;
  Mono heard_{};
  Mono checked_{};
  bool aborted_ = false;
  bool watched_ = false;  ///< a watchdog has spoken: the settings were good at the start
  Restart restart_;
  loop::Timer restart_timer_;
  std::optional<std::pair<Mono, Ending>> former_;  ///< when and how the last watchdog died

  bool stopping_ = false;
  int status_ = 0;
  std::vector<Process*> told_;  ///< the stage that was told to stop
  loop::Timer stop_timer_;
  loop::Timer tick_;
  std::vector<loop::Handle> signals_;
};

}  // namespace katana::watchdog
