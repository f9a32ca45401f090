#include "watchdog/watchdog.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <signal.h>
#include <unistd.h>

#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "common/service/program.hpp"
#include "watchdog/channels/open.hpp"
#include "watchdog/status/table.hpp"

namespace katana::watchdog {
namespace {

constexpr Millis kTick{250};
constexpr Millis kLastWords{1'000};     // for notices that are being sent while we stop
constexpr Millis kOrphanLimit{25'000};  // the drain of a process (20 s), and its last words
constexpr std::size_t kMaxIncidentFile = 1 << 20;

constexpr log::Room kLog{"watchdog"};

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

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

service::Identity identity_of(const config::Settings& s) {
  service::Identity identity;
  identity.component = "watchdog";
  identity.instance = s.instance.empty() ? "watchdog" : s.instance;
  identity.keys_dir = s.keys_dir;
  identity.http_address = s.watchdog_http;
  identity.http_optional = true;  // the page isn't worth the service
  identity.drain_limit = Millis{2'000};
  return identity;
}

std::map<std::string, int> others(std::map<std::string, int> expect) {
  expect.erase("watchdog");  // whoever reads this is here
  return expect;
}

}  // namespace

Watchdog::Watchdog(config::Settings settings, const config::CommandLine& line, bool supervise)
    : settings_(std::move(settings)),
      line_(line),
      host_(host_name()),
      supervise_(supervise),
      service_(identity_of(settings_), hooks()),
      directory_(settings_.state_dir + "/watchdog") {}

service::Hooks Watchdog::hooks() {
  service::Hooks hooks;
  hooks.start = [this] { return start(); };
  hooks.drain = [this] { drain(); };
  hooks.reload = [this] { reload(); };
  hooks.report = [this](bus::Heartbeat& beat) { report(beat); };
  hooks.health_json = [this] {
    return "{\"open_incidents\":" + std::to_string(book_ ? book_->open_incidents().size() : 0) +
           ",\"alert_channels\":" + std::to_string(deliveries_.size()) + "}";
  };
  hooks.http = [this](const net::ServerRequest& request) { return site_->handle(request); };
  hooks.metrics_page = true;
  return hooks;
}

/// Our own health is that somebody can be told; what is wrong with others stands in the incidents.
void Watchdog::report(bus::Heartbeat& beat) {
  if (book_) beat.progress = book_->opened_total();
  std::size_t failing = 0;
  for (const auto& d : deliveries_) {
    const auto s = d->status();
    beat.queue += s.waiting;
    if (!s.failing) continue;
    ++failing;
    beat.last_error = s.name + ": " + s.last_error;
  }
  if (failing == 0 || failing < deliveries_.size()) return;
  beat.healthy = false;
  beat.unhealthy_reason = "every alert channel fails";
}

int Watchdog::run() {
  return service_.run();
}

Now Watchdog::now() const {
  return {service_.clock().mono(), service_.clock().wall()};
}

// ---- start and stop ----

Result<void> Watchdog::start() {
  const auto exists = [this](const bus::Heartbeat& b) {
    return b.host == host_ && b.pid > 0 && (kill(static_cast<pid_t>(b.pid), 0) == 0 || errno == EPERM);
  };
  roster_ = std::make_unique<Roster>(Limits{}, exists, service_.clock().mono());
  book_ = std::make_unique<Book>(
      host_, [] { return fresh_id(10); }, [this](const Notice& notice) { notify(notice); });
  judge_ = std::make_unique<Judge>(*book_, *roster_, others(settings_.expect));
  disk_ = std::make_unique<Disk>(service_.loop());
  site_ = std::make_unique<Site>([this] { return snapshot(); }, [this] { return service_.metrics_text(); });
  if (auto opened = open_deliveries(); !opened) return opened;
  restore_incidents();
  if (auto opened = open_doors(); !opened) return opened;

  loop::Loop& loop = service_.loop();
  timers_.push_back(loop.every(kTick, [this] { tick(); }));
  timers_.push_back(loop.every(Millis{1'000}, [this] { site_->publish(); }));
  if (supervise_) {
    supervisor_ = std::make_unique<Supervisor>([] { return random_u64(); });
    parent_ = std::make_unique<ParentLink>(
        loop, STDIN_FILENO,
        ParentLink::Events{[this](FromParent m) { from_parent(std::move(m)); }, [this] { parent_gone(); }});
    timers_.push_back(loop.every(Millis{1'000}, [this] { parent_->send(Alive{}); }));
  } else {
    judge_->serving(now());
  }
  for (auto& d : deliveries_)
    d->start();
  service_.ready();
  return {};
}

Result<void> Watchdog::open_deliveries() {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) return fail(Code::Internal, "making " + directory_ + ": " + error.message());
  for (auto& channel : open_channels(service_.loop(), service_.http(), service_.http(), settings_)) {
    const std::string name = channel->name();
    Delivery::Events events{[this, name](const Error& e) {
                              judge_->channel_failed(name, e, now());
                              settle();
                            },
                            [this, name] {
                              judge_->channel_works(name, now());
                              settle();
                            }};
    deliveries_.push_back(std::make_unique<Delivery>(service_.loop(), service_.clock(), *disk_,
                                                     std::move(channel), directory_ + "/spool/" + name,
                                                     std::move(events)));
    if (auto loaded = deliveries_.back()->load(); !loaded) return loaded;
    kLog.info("alerts go out by {}", name);
  }
  if (deliveries_.empty())
    kLog.warn(
        "nobody will be told: no alert channel is set (TELEGRAM_ALERT_BOT_TOKEN, SMTP_URL, ALERT_COMMAND, "
        "ALERT_WEBHOOK_URL)");
  return {};
}

void Watchdog::restore_incidents() {
  const std::string path = directory_ + "/incidents.json";
  if (!std::filesystem::exists(path)) return;
  const auto restored = read_whole(path, kMaxIncidentFile).and_then([this](const std::string& s) {
    return book_->restore(s, now());
  });
  if (!restored) return kLog.error("open incidents of the last run are lost: {}", restored.error().detail);
  std::vector<std::string> moot;
  for (const auto& [key, incident] : book_->open_incidents()) {
    const Report& report = incident.report;
    kLog.info("still open from the last run: {}", report.title);
    if (report.component != "channel") continue;
    const auto it = std::find_if(deliveries_.begin(), deliveries_.end(),
                                 [&report](const auto& d) { return d->name() == report.where; });
    if (it != deliveries_.end())
      (*it)->resume_failing();
    else
      moot.push_back(key);  // that channel is no longer set
  }
  for (const auto& key : moot)
    book_->resolve(key, now());
}

Result<void> Watchdog::open_doors() {
  auto heartbeats =
      service_.bus().serve_heartbeats(settings_.watch, [this](const bus::Heartbeat& b) { heard(b); });
  if (!heartbeats) return fail(with_context(heartbeats.error(), "KATANA_WATCH"));
  heartbeats_ = std::move(*heartbeats);
  if (!settings_.watchdog_http.empty()) kLog.info("Status page: http://{}/", settings_.watchdog_http);
  auto control = control::ControlServer::listen(
      service_.loop(), settings_.run_dir + "/watchdog.sock",
      [this](const control::Request& request, control::ControlServer::Reply reply) {
        answer(request, std::move(reply));
      });
  if (!control) return fail(with_context(control.error(), "control socket"));
  control_ = std::move(*control);
  return {};
}

/// Tokens and passwords may have changed in their files: every channel is made anew.
void Watchdog::reload() {
  const auto fresh = service::settings_again(config::Program::Watchdog, line_);
  if (!fresh) return;
  settings_.alerts = fresh->alerts;
  for (auto& channel : open_channels(service_.loop(), service_.http(), service_.http(), settings_)) {
    const auto it = std::find_if(deliveries_.begin(), deliveries_.end(),
                                 [&](const auto& d) { return d->name() == channel->name(); });
    if (it != deliveries_.end()) (*it)->replace(std::move(channel));
  }
  kLog.info("{} alert channels opened anew", deliveries_.size());
}

/// What waits in the spools stays there for the next start; what is being sent gets a moment.
void Watchdog::drain() {
  stopping_ = true;
  const auto idle = [this] {
    return std::all_of(deliveries_.begin(), deliveries_.end(), [](auto& d) { return d->idle(); });
  };
  if (idle()) return service_.drained();
  timers_.push_back(service_.loop().every(Millis{20}, [this, idle] {
    if (idle()) service_.drained();
  }));
  timers_.push_back(service_.loop().after(kLastWords, [this] { service_.drained(); }));
}

// ---- judging ----

void Watchdog::heard(const bus::Heartbeat& beat) {
  apply(roster_->beat(beat, service_.clock().mono()));
  const Member* m = roster_->find(beat.instance);
  if (!m || !m->beat || m->beat->process_id != beat.process_id) return;  // the last words of a dead process
  if (!stopping_) judge_->beat(beat, now());
  if (supervisor_) supervisor_->heard(beat.instance);
  if (supervisor_ && m->state == State::Up) supervisor_->ready(beat.instance);
  settle();
}

void Watchdog::tick() {
  apply(roster_->tick(service_.clock().mono()));
  if (!stopping_) {
    judge_->tick(roster_->missing(others(settings_.expect), service_.clock().mono()), now());
    book_->tick(now());
  }
  settle();
}

void Watchdog::apply(const Roster::Changes& changes) {
  for (const auto& change : changes) {
    const bool bad = change.to == State::Down || change.to == State::Hung;
    kLog.write(bad && !stopping_ ? log::Level::Warning : log::Level::Info, "{}: {} -> {}: {}",
               change.instance, to_string(change.from), to_string(change.to), change.why);
    if (stopping_) continue;
    judge_->changed(change, now());
    if (supervisor_ && change.to == State::Hung) supervisor_->hung(change.instance, service_.clock().mono());
  }
  if (!changes.empty() && site_) site_->publish();
}

/// After every event: what the supervisor wants done, and the open incidents on disk.
void Watchdog::settle() {
  if (begun_ && !stopping_)
    for (const auto& order : supervisor_->orders(service_.clock().mono()))
      parent_->send(order);
  if (book_->revision() == saved_revision_) return;
  saved_revision_ = book_->revision();
  disk_->run(
      [path = directory_ + "/incidents.json", all = book_->dump()] { return write_durably(path, all); },
      [](const Result<void>& r) {
        if (!r) kLog.error("open incidents aren't kept: {}", r.error().detail);
      });
  site_->publish();
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
  children_.erase(exited.name);
  const Run run = supervisor_->exited(exited.name, exited.ending, mono);
  if (run == Run::Refused && !stopping_)
    judge_->refused(supervisor_->component_of(exited.name), exited.name, exited.line, now());
  apply(roster_->exited(exited.name, exited.pid, exited.ending, mono));
  if (run == Run::Off) {
    kLog.info("{} has nothing to do and stays off", exited.name);
    judge_->off(exited.name, now());
  }
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

// ---- what others see ----

Snapshot Watchdog::snapshot() const {
  Snapshot s;
  s.now = now();
  s.host = host_;
  s.supervising = supervise_;
  s.roster = roster_.get();
  s.book = book_.get();
  s.expect = settings_.expect;
  for (const auto& d : deliveries_)
    s.channels.push_back(d->status());
  return s;
}

void Watchdog::answer(const control::Request& request, control::ControlServer::Reply reply) {
  const auto has = [&](const char* word) {
    return std::find(request.words.begin(), request.words.end(), word) != request.words.end();
  };
  const Snapshot s = snapshot();
  if (request.verb == "status")
    return reply({healthy(s) ? 0 : 1, has("json") ? to_json(s) + "\n" : to_table(s, has("colour"))});
  if (request.verb == "incidents") return reply({0, incidents_table(s)});
  if (request.verb == "alert-test") return alert_test(std::move(reply));
  reply({1, "the watchdog doesn't know '" + request.verb + "'\n"});
}

/// One notice through each channel; the answer waits for the first try of all.
void Watchdog::alert_test(control::ControlServer::Reply reply) {
  if (deliveries_.empty()) return reply({1, "nobody will be told: no alert channel is set\n"});
  struct Round {
    std::size_t open;
    control::Answer answer{0, ""};
    control::ControlServer::Reply reply;
  };
  auto round = std::make_shared<Round>(Round{deliveries_.size(), {}, std::move(reply)});
  Notice notice;
  notice.incident = fresh_id(10);
  notice.kind = NoticeKind::Test;
  notice.at = notice.since = now().wall;
  notice.host = host_;
  notice.where = "watchdog";
  notice.title = "alert from katana alert-test";
  notice.effect = "none, this is a test";
  for (auto& d : deliveries_) {
    notice.id = fresh_id(10);
    d->accept(notice, [round, name = d->name()](const Result<Receipt>& result) {
      round->answer.text +=
          name + ": " + (result ? "sent: " + result->said : "failed: " + result.error().detail) + "\n";
      if (!result) round->answer.status = 1;
      if (--round->open == 0) round->reply(round->answer);
    });
  }
}

}  // namespace katana::watchdog
