// Watchdog, its daily work: what is heard, judged and told, and under `katana up` what is restarted.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <signal.h>

#include "common/core/text.hpp"
#include "common/log/log.hpp"
#include "watchdog/watchdog.hpp"

namespace katana::watchdog {
namespace {

constexpr Millis kOrphanLimit{25'000};  // the drain of a process (20 s), and its last words

constexpr Millis kLastBeat{250};
constexpr Millis kKeepAgain{5'000};

constexpr log::Room kLog{"watchdog"};

/// When a process started, in clock ticks since boot: with it a pid can't be mistaken for a later process's.
/// 0: gone.
std::uint64_t start_time(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string all((std::istreambuf_iterator<char>(file)), {});
  const auto paren = all.rfind(')');  // the command's name may hold blanks
  if (paren == std::string::npos) return 0;
  std::istringstream words(all.substr(paren + 1));
  std::string word;
  for (int field = 3; field < 22; ++field)
    words >> word;
  std::uint64_t ticks = 0;
  words >> ticks;
  return ticks;
}

/// What an operator types where somebody else is the judge.
std::string restart_command(const std::string& component, const std::string& instance) {
  const auto dash = instance.rfind('-');
  const std::string unit =
      dash == std::string::npos ? component : component + "@" + instance.substr(dash + 1);
  return "systemctl restart katana-" + unit + ", or: docker-compose restart " + component;
}

}  // namespace

// ---- judging ----

void Watchdog::heard(const bus::Heartbeat& beat) {
  if (beat.component == kSelfCheck) {
    if (dead_man_) dead_man_->heard(beat.process_id);
    return;
  }
  const auto changes = roster_->beat(beat, service_.clock().mono());
  const Member* m = roster_->find(beat.instance);
  if (const auto gone = vanishing_.find(beat.instance); gone != vanishing_.end() && m && m->said_goodbye)
    gone->second.change.goodbye = true;
  apply(changes);
  if (!m || !m->beat || m->beat->process_id != beat.process_id) return;  // the last words of a dead process
  if (!m->child && beat.host == host_ && m->state != State::Down) exits_->watch(beat.instance, beat.pid);
  history_.beat(beat, now());
  if (!stopping_) judge_->beat(beat, now());
  if (!stopping_) symptoms_->beat(beat, now());
  if (supervisor_) supervisor_->heard(beat.instance);
  if (supervisor_ && m->state == State::Up) supervisor_->ready(beat.instance);
  settle();
}

/// Seen at once; but its goodbye, if there was one, may still be on its way here, and then nobody is to be
/// woken.
void Watchdog::vanished(const std::string& instance, std::int64_t pid) {
  auto changes = roster_->vanished(instance, pid, service_.clock().mono());
  if (changes.empty()) return;
  kLog.info("{}: {} -> {}: {}", instance, to_string(changes[0].from), to_string(changes[0].to),
            changes[0].why);
  publish_soon();
  vanishing_[instance] = {std::move(changes[0]), service_.loop().after(kLastBeat, [this, instance] {
                            bury(instance);
                            settle();
                          })};
}

/// What became of one that vanished is judged now: its time is over, or something new is known of it.
void Watchdog::bury(const std::string& instance) {
  const auto pending = vanishing_.extract(instance);
  if (pending.empty() || stopping_) return;
  Change& change = pending.mapped().change;
  change.why += change.goodbye ? ", after its goodbye" : ", without a goodbye";
  judge_->changed(change, now());
  symptoms_->changed(change, now());
}

void Watchdog::tick() {
  apply(roster_->tick(service_.clock().mono()));
  if (!stopping_) {
    judge_->tick(roster_->missing(settings_.expect, service_.clock().mono()), now());
    symptoms_->tick(now());
    book_->tick(now());
  }
  const Millis wait = std::chrono::ceil<Millis>(roster_->due() - service_.clock().mono());
  limit_timer_ = wait < Roster::kTick ? service_.loop().after(wait, [this] { tick(); }) : loop::Timer{};
  settle();
}

void Watchdog::apply(const Roster::Changes& changes) {
  for (const auto& change : changes) {
    bury(change.instance);
    const bool bad = change.to == State::Down || change.to == State::Hung;
    kLog.write(bad && !stopping_ ? log::Level::Warning : log::Level::Info, "{}: {} -> {}: {}",
               change.instance, to_string(change.from), to_string(change.to), change.why);
    if (stopping_) continue;
    judge_->changed(change, now());
    symptoms_->changed(change, now());
    if (supervisor_ && change.to == State::Hung) supervisor_->hung(change.instance, service_.clock().mono());
  }
  if (!changes.empty()) publish_soon();
}

/// After every event: what the supervisor wants done, and the open incidents on disk.
void Watchdog::settle() {
  if (begun_ && !stopping_)
    for (const auto& order : supervisor_->orders(service_.clock().mono()))
      parent_->send(order);
  keep_book();
}

/// What happens in one turn of the loop is written once. The order matters: behind the spools' files of this
/// turn, and before any of those can be sent and removed (see recover_notices).
void Watchdog::keep_book() {
  if (keeping_ || keep_again_ || (book_->revision() == kept_revision_ && heard_ends_.empty())) return;
  keeping_ = true;
  service_.loop().post([this] {
    keeping_ = false;
    kept_revision_ = book_->revision();
    disk_->run([path = directory_ + "/incidents.json",
                all = book_->dump(now())] { return write_durably(path, all); },
               [this, ends = std::exchange(heard_ends_, {})](const Result<void>& r) mutable {
                 book_kept(r, std::move(ends));
               });
    publish_soon();
  });
}

/// Once for all that happens in one turn.
void Watchdog::publish_soon() {
  if (!site_ || std::exchange(publishing_, true)) return;
  service_.loop().post([this] {
    publishing_ = false;
    site_->publish();
  });
}

/// What isn't on disk ends with us: it is tried again until it is.
void Watchdog::book_kept(const Result<void>& outcome, std::vector<Kept> ends) {
  not_kept_ = outcome ? std::nullopt : std::optional(outcome.error());
  if (outcome) {
    for (const auto& end : ends)
      parent_->send(end);
    return;
  }
  kLog.error("open incidents aren't kept: {}", outcome.error().detail);
  heard_ends_.insert(heard_ends_.end(), ends.begin(), ends.end());
  kept_revision_ = ~std::uint64_t{0};
  keep_again_ = service_.loop().after(kKeepAgain, [this] {
    keep_again_.reset();
    keep_book();
  });
}

void Watchdog::notify(const Notice& notice) {
  kLog.write(notice.kind == NoticeKind::Resolved ? log::Level::Info : log::Level::Warning, "incident {}: {}",
             notice.incident, subject(notice));
  for (auto& d : deliveries_)
    if (d->name() != notice.except) d->accept(notice);
}

// ---- supervising ----

void Watchdog::from_parent(FromParent message) {
  const Mono mono = service_.clock().mono();
  if (const auto* former = std::get_if<Replaced>(&message)) {
    judge_->replaced(describe(former->ending), std::chrono::duration_cast<Millis>(mono - former->at), now());
  } else if (const auto* plan = std::get_if<Planned>(&message)) {
    supervisor_->plan(plan->name, plan->component, mono);
  } else if (const auto* child = std::get_if<Running>(&message)) {
    if (!supervisor_->plans(child->name)) return;
    children_[child->name] = {child->pid, start_time(child->pid)};
    supervisor_->running(child->name, child->pid, child->age, mono);
    apply(roster_->launched(supervisor_->component_of(child->name), child->name, child->pid, mono));
  } else if (auto* said = std::get_if<Said>(&message)) {
    if (!supervisor_->plans(said->name)) return;
    LastWords& words = last_words_[said->name];
    if (std::exchange(words.whole, false)) words.lines.clear();
    if (words.lines.size() < kLastLines) words.lines.push_back(std::move(said->line));
  } else if (const auto* dead = std::get_if<Exited>(&message)) {
    child_exited(*dead);
  } else if (std::get_if<Begin>(&message)) {
    begun_ = true;
    judge_->serving(now());
  } else if (std::get_if<Stopping>(&message)) {
    stopping_ = true;
  }
  settle();
}

void Watchdog::child_exited(const Exited& exited) {
  if (!supervisor_->plans(exited.name)) return;
  const Mono mono = service_.clock().mono();
  heard_ends_.push_back({exited.name, exited.pid});
  children_.erase(exited.name);
  LastWords& words = last_words_[exited.name];
  if (words.whole) words.lines.clear();  // it said nothing
  words.whole = true;
  words.at = service_.clock().wall();
  const Run run = supervisor_->exited(exited.name, exited.ending, mono);
  if (run == Run::Due && !stopping_)
    judge_->restarting(supervisor_->component_of(exited.name), exited.name, describe(exited.ending), now());
  if (run == Run::Refused && !stopping_)
    judge_->refused(supervisor_->component_of(exited.name), exited.name, exited.line, now());
  apply(roster_->exited(exited.name, exited.pid, exited.ending, mono));
  if (run == Run::Off) {
    kLog.info("{} has nothing to do and stays off", exited.name);
    judge_->off(exited.name, now());
  }
}

Result<std::string> Watchdog::restart(const std::string& instance) {
  const Member* m = roster_->find(instance);
  const std::string component = m ? m->component : instance.substr(0, instance.find('-'));
  if (!m && !(supervisor_ && supervisor_->plans(instance)))
    return fail(Code::Rejected, "there is no process " + text::shorten(text::one_line(instance), 40));
  if (!supervisor_)
    return fail(Code::Rejected, "the watchdog restarts nothing here; type on " +
                                    (m->beat ? m->beat->host : std::string("its machine")) + ": " +
                                    restart_command(component, instance));
  if (!supervisor_->restart(instance, service_.clock().mono()))
    return fail(Code::Rejected, instance + " is being started already");
  return "Restarting " + instance;
}

/// Without the parent nothing could be restarted or stopped any more, and the next `katana up` would meet our
/// children: we stop them, and ourselves.
void Watchdog::parent_gone() {
  if (service_.state() == bus::ServiceState::Draining) return;
  kLog.error("the parent has died; stopping everything");
  judge_->parent_died(now());
  stopping_ = true;
  settle();
  orphaned_ = service_.clock().mono();
  for (const auto& [name, child] : children_)
    if (start_time(child.first) == child.second) kill(static_cast<pid_t>(child.first), SIGTERM);
  timers_.push_back(service_.loop().every(Millis{100}, [this] { stop_orphans(); }));
}

void Watchdog::stop_orphans() {
  const bool late = service_.clock().mono() - orphaned_ > kOrphanLimit;
  bool any = false;
  for (const auto& [name, child] : children_) {
    if (start_time(child.first) != child.second) continue;
    any = true;
    if (late) kill(static_cast<pid_t>(child.first), SIGKILL);
  }
  if (!any || late) service_.stop();
}

}  // namespace katana::watchdog
