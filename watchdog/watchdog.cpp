#include "watchdog/watchdog.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include <unistd.h>

#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "common/service/program.hpp"
#include "watchdog/channels/open.hpp"
#include "watchdog/status/table.hpp"

namespace katana::watchdog {
namespace {

constexpr Millis kLastWords{1'000};  // for notices that are being sent while we stop
constexpr Millis kKeepHistory{60'000};

constexpr log::Room kLog{"watchdog"};

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

service::Identity identity_of(const config::Settings& s) {
  service::Identity identity;
  identity.component = "watchdog";
  identity.instance = s.instance.empty() ? "watchdog" : s.instance;
  identity.keys = {s.keys_dir, s.key_secrets_dir};
  identity.http_address = s.watchdog_http;
  identity.http_optional = true;  // the page isn't worth the service
  identity.drain_limit = Millis{2'000};
  return identity;
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
  const auto look = [this](const bus::Heartbeat& b) { return exits_->presence(b.instance, b.pid); };
  settings_.expect.erase("watchdog");  // whoever reads this is here
  roster_ = std::make_unique<Roster>(Limits{}, look, service_.clock().mono());
  exits_ = std::make_unique<Exits>(
      service_.loop(), [this](const std::string& instance, std::int64_t pid) { vanished(instance, pid); });
  book_ = std::make_unique<Book>(
      host_, settings_.page_url.empty() ? "" : settings_.page_url + "/runbook",
      Book::Events{[] { return fresh_id(10); }, [this](const Notice& notice) { notify(notice); },
                   [this] { return load_of(*roster_); }});
  judge_ = std::make_unique<Judge>(*book_, *roster_, settings_.expect, host_);
  desk_ = std::make_unique<Desk>(
      *book_,
      Desk::Hands{[this] { return now(); }, [this](const std::string& instance) { return restart(instance); },
                  [this] { settle(); }});
  disk_ = std::make_unique<Disk>(service_.loop());
  Gate gate(settings_.watchdog_token, settings_.watchdog_http, settings_.page_url, host_);
  if (gate.open_to_others())
    kLog.warn(
        "the status page is open to whoever reaches {}: they can look, and do nothing without the token",
        settings_.watchdog_http);
  site_ = std::make_unique<Site>([this] { return snapshot(); }, [this] { return service_.metrics_text(); },
                                 std::move(gate), desk_.get());
  if (auto opened = open_deliveries(); !opened) return opened;
  restore_incidents();
  symptoms_ = std::make_unique<Symptoms>(*book_, *roster_, host_, now());
  restore_history();
  if (auto opened = open_ops_chat(); !opened) return opened;
  if (auto opened = open_doors(); !opened) return opened;

  loop::Loop& loop = service_.loop();
  timers_.push_back(loop.every(Roster::kTick, [this] { tick(); }));
  timers_.push_back(loop.every(Millis{1'000}, [this] {
    history_.tick(*roster_, now());
    site_->publish();
  }));
  timers_.push_back(loop.every(kKeepHistory, [this] {
    keep_history();
    exits_->sweep([this](const std::string& instance) { return roster_->find(instance) != nullptr; });
  }));
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
  if (ops_chat_) ops_chat_->start();
  service_.ready();
  settle();
  return {};
}

std::vector<std::unique_ptr<Channel>> Watchdog::open() {
  return open_channels(service_.loop(), service_.http(), service_.http(), settings_,
                       [this](std::int64_t chat) {
                         if (ops_chat_) ops_chat_->moved(chat);
                       });
}

Result<void> Watchdog::open_deliveries() {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) return fail(Code::Internal, "making " + directory_ + ": " + error.message());
  for (auto& channel : open()) {
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

std::unique_ptr<telegram::BotApi> Watchdog::alert_bot() {
  return std::make_unique<telegram::HttpBotApi>(
      service_.http(), telegram::BotAccess{settings_.telegram.api_url, settings_.alerts.telegram_token,
                                           settings_.telegram.proxy});
}

std::int64_t Watchdog::ops_chat_id() const {
  const std::string& id = settings_.alerts.telegram_chat;
  std::int64_t chat = 0;
  std::from_chars(id.data(), id.data() + id.size(), chat);
  return chat;
}

Result<void> Watchdog::open_ops_chat() {
  const config::Alerts& a = settings_.alerts;
  if (a.telegram_token.empty()) {
    judge_->ops_chat_works(now());  // it is no longer set
    return {};
  }
  ops_chat_ = std::make_unique<OpsChat>(
      service_.loop(), service_.clock(), alert_bot(), ops_chat_id(), a.ops_users, *desk_,
      OpsChat::Events{[this] { return to_lines(snapshot()); }, [this] { return incident_lines(snapshot()); },
                      [this](const Error& e) {
                        judge_->ops_chat_failed(e, now());
                        settle();
                      },
                      [this] {
                        judge_->ops_chat_works(now());
                        settle();
                      }});
  if (book_->is_open(Judge::kOpsChat)) ops_chat_->resume_failing();
  return {};
}

Result<void> Watchdog::open_doors() {
  auto heartbeats =
      service_.bus().serve_heartbeats(settings_.watch, [this](const bus::Heartbeat& b) { heard(b); });
  if (!heartbeats) return fail(with_context(heartbeats.error(), "KATANA_WATCH"));
  heartbeats_ = std::move(*heartbeats);
  if (auto opened = open_dead_man(); !opened) return opened;
  open_surroundings();
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

/// Tokens and passwords may have changed in their files: every channel is made anew. Which channels there are
/// is settled at the start.
void Watchdog::reload() {
  const auto fresh = service::settings_again(config::Program::Watchdog, line_);
  if (!fresh) return;
  settings_.alerts = fresh->alerts;
  std::set<std::string> stale;
  for (const auto& d : deliveries_)
    stale.insert(d->name());
  std::size_t anew = 0;
  for (auto& channel : open()) {
    const auto it = std::find_if(deliveries_.begin(), deliveries_.end(),
                                 [&](const auto& d) { return d->name() == channel->name(); });
    stale.erase(channel->name());
    if (it == deliveries_.end()) {
      kLog.warn("{} is set now: it takes part when the watchdog has been restarted", channel->name());
      continue;
    }
    (*it)->replace(std::move(channel));
    ++anew;
  }
  for (const auto& name : stale)
    kLog.warn("{} is no longer set: it goes on until the watchdog has been restarted", name);
  if (dead_man_ && settings_.alerts.deadman_url.empty())
    kLog.warn("ALERT_DEADMAN_URL is no longer set: it is asked until the watchdog has been restarted");
  else if (dead_man_)
    dead_man_->replace(settings_.alerts.deadman_url);
  if (ops_chat_ && !settings_.alerts.telegram_token.empty())
    ops_chat_->replace(alert_bot(), ops_chat_id(), settings_.alerts.ops_users);
  kLog.info("{} alert channels opened anew", anew);
}

/// What waits in the spools stays there for the next start; what is being sent gets a moment.
void Watchdog::drain() {
  stopping_ = true;
  presence_timer_.reset();
  if (presence_) presence_->leave();
  keep_history();
  const auto idle = [this] {
    return std::all_of(deliveries_.begin(), deliveries_.end(), [](auto& d) { return d->idle(); });
  };
  if (idle()) return service_.drained();
  timers_.push_back(service_.loop().every(Millis{20}, [this, idle] {
    if (idle()) service_.drained();
  }));
  timers_.push_back(service_.loop().after(kLastWords, [this] { service_.drained(); }));
}

}  // namespace katana::watchdog
