#include "common/service/service.hpp"

#include <algorithm>
#include <csignal>
#include <optional>

#include <unistd.h>

#include "common/bus/zmq_bus.hpp"
#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "common/service/alarm.hpp"
#include "common/service/notify.hpp"
#include "common/service/pages.hpp"
#include "common/service/process_metrics.hpp"
#include "common/service/program.hpp"
#include "common/service/vitals.hpp"

namespace katana::service {
namespace {

constexpr log::Room kLog{"service"};

using bus::ServiceState;

constexpr Millis kBeat{500};
constexpr std::uint64_t kBeatsPerMetrics = 10;
constexpr Millis kAlarmEvery{1000};
constexpr Millis kHttpAgain{10'000};
constexpr Millis kDiskEvery{10'000};
constexpr int kExitInterrupted = 130;
constexpr int kExitFailed = 1;

std::string signal_name(int signo) {
  return signo == SIGINT ? "SIGINT" : "SIGTERM";
}

std::string seconds_text(Millis time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s"
                                  : std::to_string(time.count()) + " ms";
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string jobs_text(std::uint64_t n) {
  return std::to_string(n) + (n == 1 ? " job" : " jobs");
}

}  // namespace

struct Service::Impl {
  Impl(Identity i, Hooks h)
      : identity(std::move(i)),
        hooks(std::move(h)),
        process_id(fresh_id()),
        host(host_name()),
        own(metrics, identity.component),
        http(loop),
        bus(loop, identity.keys),
        started_at(clock.mono()) {
    if (identity.instance.empty()) identity.instance = identity.component;
    own.started_at(clock.wall());
  }

  // ---- start ----
  int run();
  Result<void> open_outside();
  Result<void> open_http();
  void watch_signals();
  void reload();

  // ---- stop ----
  void on_stop_signal(int signo);
  void begin_drain(const std::string& why);
  void finish();
  void end(int status);

  // ---- life ----
  void tick();
  void rearm(Mono now);
  void still_starting();
  void look_outside(bus::Heartbeat& b);
  bus::Heartbeat look();
  void publish(bool with_metrics);
  std::string metrics_text(const bus::Heartbeat& now);
  net::ServerResponse serve(const net::ServerRequest& request);

  Identity identity;
  Hooks hooks;
  std::string process_id;
  std::string host;
  SystemClock clock;
  loop::Loop loop;
  Metrics metrics;
  ProcessMetrics own;
  net::CurlClient http;
  bus::ZmqBus bus;
  std::unique_ptr<bus::HeartbeatSink> beats;
  std::unique_ptr<net::HttpServer> server;
  Notify notify;
  Vitals vitals;
  std::unique_ptr<HangAlarm> alarm;
  std::vector<loop::Handle> handles;
  loop::Timer drain_timer;
  loop::Timer http_timer;

  Mono started_at;
  Mono ticked_at{};
  Mono rearmed_at{};
  Mono pinged_at{};
  DiskSpace disk;
  std::optional<Mono> disk_looked{};
  ServiceState state = ServiceState::Starting;
  bool ended = false;
  int status = 0;
  std::string why_failed;  // the last words of a start that failed, for whoever watches
  std::uint64_t seq = 0;
  std::uint64_t ticks = 0;
  std::uint64_t steps = 0;  // of a long start
  Millis longest_turn{0};
};

// ---- start ----

Result<void> Service::Impl::open_http() {
  auto listening = net::HttpServer::listen(loop, identity.http_address,
                                           [this](const net::ServerRequest& r) { return serve(r); });
  if (!listening) {
    const std::string setting = "KATANA_" + upper(identity.component) + "_HTTP";
    listening.error().detail += "; set " + setting + " to another address, or to off";
    return katana::fail(std::move(listening.error()));
  }
  server = std::move(*listening);
  http_timer.reset();
  kLog.info("Serving /live /health /ready /metrics on port {}", server->port());
  return {};
}

Result<void> Service::Impl::open_outside() {
  if (!identity.http_address.empty()) {
    if (auto open = open_http(); !open) {
      if (!identity.http_optional) return open;
      kLog.error("No pages: {}", open.error().detail);
      http_timer = loop.every(kHttpAgain, [this] { (void)open_http(); });
    }
  }
  if (!identity.watch_endpoint.empty()) {
    // A watchdog that begins to listen hears at once how it is: what was said before it came is lost.
    auto sink = bus.connect_heartbeats(identity.watch_endpoint, [this] { publish(true); });
    if (!sink) return katana::fail(with_context(sink.error(), "connecting to the watchdog"));
    beats = std::move(*sink);
  }
  return {};
}

void Service::Impl::watch_signals() {
  for (const int signo : {SIGTERM, SIGINT}) {
    handles.push_back(loop.on_signal(signo, [this](int s) { on_stop_signal(s); }));
  }
  handles.push_back(loop.on_signal(SIGUSR1, [](int) { reopen_log(); }));
  handles.push_back(loop.on_signal(SIGHUP, [this](int) {
    kLog.info("SIGHUP received: reading files and tables again");
    reload();
  }));
}

void Service::Impl::reload() {
  if (auto read = bus.reload_keys(); !read)
    kLog.error("Not all keys were read again: {}", read.error().detail);
  if (hooks.reload) hooks.reload();
}

int Service::Impl::run() {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of that write, not the end of the process
  alarm = std::make_unique<HangAlarm>();
  watch_signals();
  handles.push_back(loop.after_wait([this] { longest_turn = std::max(longest_turn, loop.last_turn()); }));
  handles.push_back(loop.every(kBeat, [this] { tick(); }));
  auto opened = open_outside();
  if (opened) {
    publish(false);
    opened = hooks.start ? hooks.start() : Result<void>();
  }
  if (!opened) {
    kLog.critical("Cannot start: {}", opened.error().detail);
    why_failed = opened.error().detail;
    status = kExitFailed;
    hooks.stop = nullptr;  // there may be only half of what it would store
    finish();
  } else if (!ended) {
    loop.run();
  }
  server.reset();
  log::flush();
  return status;
}

// ---- stop ----

void Service::Impl::on_stop_signal(int signo) {
  if (state == ServiceState::Draining || state == ServiceState::Stopped) {
    kLog.warn("{} received again: exiting at once, with work still in hand", signal_name(signo));
    log::flush();
    _exit(kExitInterrupted);
  }
  begin_drain(signal_name(signo) + " received");
}

void Service::Impl::begin_drain(const std::string& why) {
  if (state == ServiceState::Draining || state == ServiceState::Stopped) return;
  state = ServiceState::Draining;
  notify.tell("STOPPING=1");
  kLog.info("Stopping: {}, no new work is taken", why);
  publish(false);
  if (hooks.drain) {
    hooks.drain();
  } else {
    finish();
  }
  if (ended) return;
  kLog.info("Stopping: {} in hand, waiting up to {}", jobs_text(look().in_flight),
            seconds_text(identity.drain_limit));
  drain_timer = loop.after(identity.drain_limit, [this] {
    kLog.warn("Stopping: {} still in hand after {}, going on without them", jobs_text(look().in_flight),
              seconds_text(identity.drain_limit));
    finish();
  });
}

void Service::Impl::finish() {
  if (ended) return;
  ended = true;  // before the hook: it may call drained() or stop()
  drain_timer.reset();
  if (hooks.stop) {
    kLog.info("Stopping: storing what is unfinished");
    hooks.stop();
  }
  state = ServiceState::Stopped;
  publish(true);
  kLog.info("Stopped after {} s, exit status {}",
            std::chrono::duration_cast<Seconds>(clock.mono() - started_at).count(), status);
  loop.stop();
}

// ---- life ----

void Service::Impl::tick() {
  const Mono now = clock.mono();
  // A tick that itself comes late is lag that no single turn may show.
  if (ticked_at != Mono{}) {
    const auto late = std::chrono::duration_cast<Millis>(now - ticked_at) - kBeat;
    longest_turn = std::max(longest_turn, late);
  }
  ticked_at = now;
  rearm(now);
  const Millis ping = notify.watchdog_period();
  if (ping > Millis{0} && now - pinged_at >= ping - kBeat) {
    notify.tell("WATCHDOG=1");
    pinged_at = now;
  }
  publish(ticks++ % kBeatsPerMetrics == 0);
}

void Service::Impl::rearm(Mono now) {
  if (now - rearmed_at < kAlarmEvery) return;
  alarm->rearm();
  rearmed_at = now;
}

void Service::Impl::still_starting() {
  const Mono now = clock.mono();
  if (now - ticked_at < kBeat) return;
  ticked_at = now;
  ++steps;
  rearm(now);
  notify.tell("EXTEND_TIMEOUT_USEC=30000000");
  publish(false);
}

/// What surrounds every process: its disk, and the certificates of those it talks to.
void Service::Impl::look_outside(bus::Heartbeat& b) {
  const Mono now = clock.mono();
  if (!identity.disk.empty() && (!disk_looked || now - *disk_looked >= kDiskEvery)) {
    disk_looked = now;
    disk = disk_space(identity.disk);
  }
  b.disk_free_bytes = disk.free_bytes;
  b.disk_total_bytes = disk.total_bytes;
  if (const auto certificate = http.earliest_certificate()) {
    b.certificate_endpoint = certificate->endpoint;
    b.certificate_expires = certificate->expires;
  }
}

bus::Heartbeat Service::Impl::look() {
  bus::Heartbeat b;
  b.component = identity.component;
  b.instance = identity.instance;
  b.process_id = process_id;
  b.pid = getpid();
  b.host = host;
  b.build = KATANA_VERSION;
  b.state = state;
  b.seq = seq;
  b.sent_at = clock.wall();
  b.uptime_ms = std::chrono::duration_cast<Millis>(clock.mono() - started_at).count();
  b.loop_lag_ms = static_cast<std::uint32_t>(std::max<std::int64_t>(0, longest_turn.count()));
  b.rss_bytes = vitals.rss_bytes();
  b.cpu_ms = vitals.cpu_ms();
  look_outside(b);
  if (hooks.report) hooks.report(b);
  b.progress += steps;
  if (!why_failed.empty()) b.last_error = why_failed;
  return b;
}

void Service::Impl::publish(bool with_metrics) {
  if (!beats) {
    longest_turn = Millis{0};
    return;
  }
  ++seq;
  bus::Heartbeat b = look();
  if (with_metrics) b.metrics = metrics_text(b);
  beats->publish(b);
  longest_turn = Millis{0};
}

std::string Service::Impl::metrics_text(const bus::Heartbeat& now) {
  own.update(now, bus.counts());
  return metrics.text();
}

net::ServerResponse Service::Impl::serve(const net::ServerRequest& request) {
  if (request.path == "/metrics" && !hooks.metrics_page) {
    net::ServerResponse out;
    out.content_type = "text/plain; version=0.0.4; charset=utf-8";
    out.body = metrics_text(look());
    return out;
  }
  const std::string more = request.path == "/health" && hooks.health_json ? hooks.health_json() : "";
  if (auto page = state_page(request.path, look(), more)) return std::move(*page);
  return hooks.http ? hooks.http(request) : no_such_page();
}

// ---- the outside ----

Service::Service(Identity identity, Hooks hooks)
    : impl_(std::make_unique<Impl>(std::move(identity), std::move(hooks))) {}
Service::~Service() = default;

int Service::run() {
  return impl_->run();
}

void Service::ready() {
  if (impl_->state != ServiceState::Starting) return;
  impl_->state = ServiceState::Ready;
  impl_->notify.tell("READY=1");
  kLog.info("Started: ready after {} ms",
            std::chrono::duration_cast<Millis>(impl_->clock.mono() - impl_->started_at).count());
  impl_->publish(true);
}

void Service::drained() {
  if (impl_->state != ServiceState::Draining || impl_->ended) return;
  kLog.info("Stopping: the work in hand is done");
  impl_->finish();
}

void Service::reload() {
  impl_->reload();
}

void Service::stop() {
  impl_->begin_drain("asked to");
}

void Service::fail(const Error& error) {
  if (impl_->ended) return;
  kLog.critical("Cannot go on: {}", error.detail);
  impl_->why_failed = error.detail;
  impl_->status = kExitFailed;
  impl_->finish();
}

void Service::still_starting() {
  impl_->still_starting();
}

void Service::beat() {
  impl_->publish(false);
}

loop::Loop& Service::loop() {
  return impl_->loop;
}
net::CurlClient& Service::http() {
  return impl_->http;
}
bus::ZmqBus& Service::bus() {
  return impl_->bus;
}
const Clock& Service::clock() const {
  return impl_->clock;
}
Metrics& Service::metrics() {
  return impl_->metrics;
}
bus::ServiceState Service::state() const {
  return impl_->state;
}
const std::string& Service::process_id() const {
  return impl_->process_id;
}
std::string Service::metrics_text() {
  return impl_->metrics_text(impl_->look());
}

}  // namespace katana::service
