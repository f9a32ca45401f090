#include "watchdog/supervisor/parent.hpp"

#include <algorithm>
#include <deque>
#include <fstream>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/core/id.hpp"
#include "common/core/text.hpp"
#include "common/log/log.hpp"
#include "common/service/program.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"up"};
constexpr std::size_t kMaxRemembered = 2'000;  // bytes of a line

/// Whether one controls us: what the standard streams are says nothing of that.
bool at_a_terminal() {
  const int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

bool ignored(int signo) {
  struct sigaction action {};
  return sigaction(signo, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

/// A program and, while it lives, its process and the pipe of its output.
struct Parent::Process {
  Program program;
  loop::Child child{};
  std::int64_t pid = 0;
  Mono started{};
  int pipe = -1;
  loop::Handle pipe_watch{};
  std::string partial{};
  std::string last_line{};
  std::deque<std::string> recent{};  ///< its last lines, for whoever looks into its end
  loop::Timer reload{};              ///< for the SIGHUP that waits until it listens

  [[nodiscard]] bool alive() const { return pid != 0; }
};

Parent::Parent(loop::Loop& loop, const Clock& clock, std::vector<Program> programs, Program watchdog,
               int output_fd)
    : loop_(loop), clock_(clock), output_(loop, output_fd) {
  for (auto& program : programs) {
    programs_.push_back(std::make_unique<Process>());
    programs_.back()->program = std::move(program);
  }
  watchdog_ = std::make_unique<Process>();
  watchdog_->program = std::move(watchdog);
}

Parent::~Parent() {
  for (const auto& p : programs_)
    if (p->pipe >= 0) close(p->pipe);
  if (watchdog_->pipe >= 0) close(watchdog_->pipe);
  if (socket_ >= 0) close(socket_);
}

int Parent::run() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Stopped from the keyboard we would hold everybody's output, and in time everybody.
  std::signal(SIGTSTP, SIG_IGN);
  for (const int signo : {SIGINT, SIGTERM})
    signals_.push_back(loop_.on_signal(signo, [this](int s) { stop(s); }));
  // A closed terminal stops everything, but not what `nohup` started. Where there is none, somebody has new
  // keys or tables for all processes.
  if (at_a_terminal()) {
    if (!ignored(SIGHUP)) signals_.push_back(loop_.on_signal(SIGHUP, [this](int s) { stop(s); }));
  } else {
    signals_.push_back(loop_.on_signal(SIGHUP, [this](int) { reload(); }));
  }
  signals_.push_back(loop_.on_signal(SIGUSR1, [](int) { service::reopen_log(); }));
  signals_.push_back(loop_.on_signal(SIGCHLD, [this](int) { reap_strangers(); }));
  tick_ = loop_.every(Millis{1'000}, [this] { check_watchdog(); });
  checked_ = clock_.mono();
  start_watchdog();
  loop_.run();
  kill_strangers();
  output_.drain(Millis{1'000});
  return status_;
}

// ---- processes ----

void Parent::spawn(Process& p, int stdin_fd) {
  p.started = clock_.mono();
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0)
    return kLog.error("no pipe for {}: {}", p.program.name, std::strerror(errno));
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  loop::ChildSpec spec{p.program.argv, p.program.env, stdin_fd, ends[1], ends[1]};
  auto child = loop_.spawn(spec, [this, &p](loop::Exit exit) { ended(p, exit); });
  close(ends[1]);
  p.last_line.clear();
  p.recent.clear();
  p.partial.clear();
  if (!child) {
    close(ends[0]);
    kLog.error("{}: {}", p.program.name, child.error().detail);
    return;
  }
  p.child = std::move(*child);
  p.pid = p.child.pid();
  p.pipe = ends[0];
  p.pipe_watch = loop_.watch(p.pipe, loop::Io::Read, [this, &p](loop::Ready) { read_output(p); });
}

void Parent::read_output(Process& p) {
  char buffer[16 << 10];
  for (;;) {
    const ssize_t n = read(p.pipe, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) break;
    p.partial.append(buffer, static_cast<std::size_t>(n));
    std::size_t from = 0;
    for (std::size_t end; (end = p.partial.find('\n', from)) != std::string::npos; from = end + 1) {
      p.last_line.assign(p.partial, from, end - from);
      remember(p);
      output_.line(p.last_line);
    }
    p.partial.erase(0, from);
    if (p.partial.size() > (64 << 10)) output_.line(std::exchange(p.partial, {}));
  }
  if (!p.partial.empty()) {
    output_.line(p.last_line = std::exchange(p.partial, {}));
    remember(p);
  }
  p.pipe_watch.reset();
  close(std::exchange(p.pipe, -1));
}

void Parent::remember(Process& p) {
  p.recent.push_back(p.last_line.substr(0, kMaxRemembered));
  if (p.recent.size() > kLastLines) p.recent.pop_front();
}

void Parent::start(Process& p) {
  if (p.alive() || stopping_) return;
  // What a grandchild of the former process still holds open is of no interest any more.
  p.pipe_watch.reset();
  if (p.pipe >= 0) close(std::exchange(p.pipe, -1));
  spawn(p, -1);
  if (p.alive())
    tell(Running{p.program.name, p.pid, Millis{0}});
  else
    tell(Exited{p.program.name, 0, {127, 0}, "it can't be started"});
}

void Parent::ended(Process& p, loop::Exit exit) {
  if (p.pipe >= 0) read_output(p);
  const Ending ending{exit.status, exit.signal};
  const Exited message{p.program.name, p.pid, ending,
                       ending.signal == 0 && ending.status == 2 ? p.last_line : std::string()};
  const Running was{p.program.name, p.pid, std::chrono::duration_cast<Millis>(clock_.mono() - p.started)};
  p.pid = 0;
  if (stopping_)
    kLog.info("{} has stopped: {}", p.program.name, describe(ending));
  else
    kLog.warn("{} has ended: {}", p.program.name, describe(ending));
  if (&p == watchdog_.get()) {
    watchdog_ended(ending);
  } else {
    std::vector<Said> last_words;
    for (auto& line : p.recent)
      last_words.push_back({p.program.name, std::move(line)});
    p.recent.clear();
    for (const auto& said : last_words)
      tell(said);
    tell(message);
    deaths_.push_back({was, message, std::move(last_words)});
    if (deaths_.size() > kMostDeaths) deaths_.pop_front();
  }
  if (stopping_) stop_next();
}

/// Processes that our children left behind, such as an alert command that still runs: as the subreaper we
/// inherit them, and libuv reaps only what it started.
std::vector<pid_t> Parent::strangers() const {
  std::vector<pid_t> out;
  std::ifstream children("/proc/self/task/" + std::to_string(getpid()) + "/children");
  for (pid_t pid = 0; children >> pid;) {
    const bool ours = pid == watchdog_->pid || std::any_of(programs_.begin(), programs_.end(),
                                                           [&](const auto& p) { return p->pid == pid; });
    if (!ours) out.push_back(pid);
  }
  return out;
}

void Parent::reap_strangers() {
  for (const pid_t pid : strangers())
    waitpid(pid, nullptr, WNOHANG);
}

void Parent::kill_strangers() {
  for (const pid_t pid : strangers()) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

// ---- the watchdog ----

void Parent::start_watchdog() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return kLog.error("no socket for the watchdog: {}", std::strerror(errno));
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  spawn(*watchdog_, ends[1]);
  close(ends[1]);
  heard_ = clock_.mono();
  aborted_ = false;
  if (!watchdog_->alive()) {
    close(ends[0]);
    return watchdog_ended({127, 0});
  }
  socket_ = ends[0];
  lines_ = {};
  to_watchdog_ = std::make_unique<LineWriter>(loop_, socket_);
  socket_watch_ = loop_.watch(socket_, loop::Io::Read, [this](loop::Ready) { hear(); });
  if (const auto former = std::exchange(former_, {})) tell(Replaced{former->first, former->second});
  for (const auto& p : programs_)
    tell(Planned{p->program.name, p->program.component});
  for (const auto& death : deaths_) {
    tell(death.was);
    for (const auto& said : death.last_words)
      tell(said);
    tell(death.how);
  }
  for (const auto& p : programs_) {
    if (p->alive())
      tell(Running{p->program.name, p->pid, std::chrono::duration_cast<Millis>(clock_.mono() - p->started)});
  }
  tell(Begin{});
}

void Parent::watchdog_ended(const Ending& ending) {
  socket_watch_.reset();
  to_watchdog_.reset();
  if (socket_ >= 0) close(std::exchange(socket_, -1));
  if (stopping_) return;
  if (ending.signal == 0 && ending.status == 2) {
    if (!watched_) {
      kLog.error("the watchdog refuses its settings; stopping");
      status_ = 2;
      return stop(0);
    }
    // Its settings were good once: a secret's file has changed since. That is no reason to end the service.
    kLog.critical("nobody watches and nobody will be told: the new watchdog refuses a setting: {}",
                  watchdog_->last_line);
  }
  former_ = {clock_.mono(), ending};
  const auto lived = std::chrono::duration_cast<Millis>(clock_.mono() - watchdog_->started);
  restart_timer_ = loop_.after(restart_.next(lived, random_u64()), [this] { start_watchdog(); });
}

void Parent::tell(const FromParent& message) {
  if (!to_watchdog_) return;
  // A watchdog that reads nothing is killed for its silence.
  const std::string line = to_line(message);
  if (!to_watchdog_->write(line)) kLog.warn("the watchdog can't be told: {}", text::one_line(line));
}

void Parent::hear() {
  char buffer[4096];
  const ssize_t n = recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return socket_watch_.reset();  // its exit follows
  heard_ = clock_.mono();
  std::vector<FromWatchdog> messages;
  const auto fed = lines_.feed({buffer, static_cast<std::size_t>(n)}, [&](std::string_view line) {
    if (auto message = parse_from_watchdog(line))
      messages.push_back(std::move(*message));
    else
      kLog.warn("from the watchdog: {}", message.error().detail);
  });
  if (!fed) kLog.warn("from the watchdog: {}", fed.error().detail);
  watched_ = watched_ || !messages.empty();
  for (const auto& message : messages)
    obey(message);
}

void Parent::obey(const FromWatchdog& message) {
  if (const auto* kept = std::get_if<Kept>(&message))
    std::erase_if(deaths_,
                  [&](const Death& d) { return d.how.name == kept->name && d.how.pid == kept->pid; });
  const auto* order = std::get_if<Order>(&message);
  if (!order || stopping_) return;
  const auto it = std::find_if(programs_.begin(), programs_.end(),
                               [&](const auto& p) { return p->program.name == order->name; });
  if (it == programs_.end())
    return kLog.warn("the watchdog orders something about {}, which isn't ours", order->name);
  Process& p = **it;
  if (order->kind == Order::Kind::Start) return start(p);
  kLog.warn("{} gets signal {}", order->name, order->signal);
  p.child.signal(order->signal);
}

void Parent::check_watchdog() {
  const Mono now = clock_.mono();
  const bool we_slept = now - checked_ >= Millis{2'000};
  checked_ = now;
  if (!watchdog_->alive() || stopping_) return;
  if (we_slept) heard_ = now;
  if (now - heard_ < kSilence) return;
  kLog.error("the watchdog is silent: {}", aborted_ ? "killed" : "aborted");
  watchdog_->child.signal(std::exchange(aborted_, true) ? SIGKILL : SIGABRT);
}

// ---- the stop ----

/// Who stops next: gateway and workers side by side, the watchdog last. A worker that drains takes no new job
/// and ends when its answers are committed, so the gateway gets the ones that are under way; one after the
/// other they would take the time of two drains.
std::vector<Parent::Process*> Parent::stage() const {
  std::vector<Process*> serving;
  for (const auto& p : programs_)
    if (p->alive()) serving.push_back(p.get());
  if (!serving.empty()) return serving;
  if (watchdog_->alive()) return {watchdog_.get()};
  return {};
}

void Parent::stop(int signo) {
  if (std::exchange(stopping_, true)) {
    if (signo != 0) kill_all();
    return;
  }
  if (signo != 0) kLog.info("stopping, as signal {} asks; a second one stops at once", signo);
  restart_timer_.reset();
  tell(Stopping{});
  stop_next();
}

void Parent::reload() {
  kLog.info("SIGHUP received: every process reads its files and tables again");
  for (const auto& p : programs_)
    hand_on_reload(*p);
  hand_on_reload(*watchdog_);
}

/// To a process that is so young that it may not listen to signals yet, a little later: else it would die.
void Parent::hand_on_reload(Process& p) {
  if (!p.alive()) return;
  const auto age = std::chrono::duration_cast<Millis>(clock_.mono() - p.started);
  if (age >= kListens) return static_cast<void>(p.child.signal(SIGHUP));
  p.reload = loop_.after(kListens - age, [this, &p, pid = p.pid] {
    if (p.pid == pid) hand_on_reload(p);
  });
}

void Parent::stop_next() {
  const auto next = stage();
  if (next.empty()) {
    kLog.info("everything has stopped");
    return loop_.stop();
  }
  if (std::find_first_of(next.begin(), next.end(), told_.begin(), told_.end()) != next.end()) return;
  told_ = next;
  signal_all(next, SIGTERM);
  stop_timer_ = loop_.after(kStopLimit, [this] {
    const auto late = stage();
    for (const auto* p : late)
      kLog.error("{} doesn't stop: killed", p->program.name);
    signal_all(late, SIGKILL);
  });
}

void Parent::signal_all(const std::vector<Process*>& stage, int signo) {
  for (const auto* p : stage)
    p->child.signal(signo);
}

void Parent::kill_all() {
  kLog.warn("stopping at once");
  status_ = 130;
  for (const auto& p : programs_)
    if (p->alive()) kill(-static_cast<pid_t>(p->pid), SIGKILL);
  if (watchdog_->alive()) kill(-static_cast<pid_t>(watchdog_->pid), SIGKILL);
}

}  // namespace katana::watchdog
