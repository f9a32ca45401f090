// What Gateway does as time goes by: ticks, the heartbeat file, draining, and its account of its own health.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "common/log/log.hpp"
#include "common/service/program.hpp"
#include "gateway/counters.hpp"
#include "gateway/gateway.hpp"

namespace katana::gateway {
namespace {

/// Trouble with polling that lasts this long is told; shorter ones heal by themselves.
constexpr Millis kPollGrace{15'000};
constexpr Millis kStoreGrace{10'000};
/// The wall clock was set, not just trimmed, when it moves against monotonic time by this much in a tick.
constexpr Millis kClockSet{1'000};
/// The heartbeat file wants a poll attempt's end this recently: the poll's timeout, its stall limit, and some
/// air.
constexpr Millis kPollAttemptGrace{75'000};

/// A worker that restarts is back long before.
constexpr Millis kUnservedGrace{30'000};

constexpr log::Room kLog{"gateway"};

double seconds(Mono::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

void Gateway::tick() {
  look_at_the_clock();
  if (store_->trouble()) ask_store();  // in trouble at every tick: its end shows at once
  dispatcher_->tick();
  look_for_watchdog();
  const OutboxLoad load = outbox_->load();
  if (!load.held) {
    held_since_.reset();
  } else if (!held_since_) {
    held_since_ = service_.clock().mono();
  } else if (poller_->last_success() > held_since_) {
    outbox_->resume();  // polling works: the token is good again
  }
  if (dispatcher_->unserved().empty()) {
    unserved_since_.reset();
  } else if (!unserved_since_) {
    unserved_since_ = service_.clock().mono();
  }
  counters_->queue.set(static_cast<double>(dispatcher_->waiting()));
  counters_->in_flight.set(static_cast<double>(dispatcher_->in_flight()));
  counters_->dead_letters.set(static_cast<double>(dead_letters_));
  counters_->outbox.set(static_cast<double>(load.queue));
  counters_->oldest_wait.set(seconds(load.oldest_wait));
  counters_->claude_workers.set(dispatcher_->pool().count("claude"));
  counters_->openai_workers.set(dispatcher_->pool().count("openai"));
  counters_->polling.set(poller_->active() ? 1 : 0);
  counters_->poll_lag.set(seconds(service_.clock().mono() - poller_->last_success().value_or(started_)));
  counters_->store_ok.set(store_->trouble() ? 0 : 1);
  check_drained();
}

void Gateway::arm_poller() {
  const auto due = poller_->due();
  if (!due) {
    poll_timer_.reset();
    return;
  }
  const auto wait = std::chrono::ceil<Millis>(*due - service_.clock().mono());
  poll_timer_ = service_.loop().after(std::max(wait, Millis{0}), [this] { poller_->wake(); });
}

/// A clock that was set makes a liar of the heartbeat file, whose reader knows nothing but the wall clock.
void Gateway::look_at_the_clock() {
  const auto ahead = service_.clock().wall().time_since_epoch() - service_.clock().mono().time_since_epoch();
  const auto before = std::exchange(wall_ahead_, ahead);
  if (!before || std::chrono::abs(ahead - *before) < kClockSet) return;
  kLog.warn("The clock was set by {:.0f} s", seconds(ahead - *before));
  beat_file();
}

void Gateway::ask_store() {
  if (store_asked_) return;
  store_asked_ = true;
  store_->ping(Done<Nothing>{.durable = [this](const Result<Nothing>& answer) {
    store_asked_ = false;
    if (answer) last_store_answer_ = service_.clock().mono();
  }});
}

/// By rename, so that no reader meets half a file. A few bytes in the page cache every 5 s: not worth a
/// thread. What went wrong, for people.
std::string Gateway::write_beat_file() const {
  const std::string part = settings_.heartbeat_file + ".new";
  {
    errno = 0;
    std::ofstream file(part, std::ios::trunc);
    file << to_unix(service_.clock().wall()) << std::endl;  // flushed here: a full disk shows then
    if (!file) {
      return "the heartbeat file can't be written: " + part + ": " + std::strerror(errno) +
             "; its directory must be there, writable for this user, on a disk that works";
    }
  }
  ::chmod(part.c_str(), 0644);
  if (std::rename(part.c_str(), settings_.heartbeat_file.c_str()) == 0) return {};
  return "the heartbeat file can't be put in place: " + settings_.heartbeat_file + ": " +
         std::strerror(errno);
}

/// The sign of life that `katana check-heartbeat` reads: written only while there is progress.
void Gateway::beat_file() {
  ask_store();
  counters_->look_at_disk(disk_of(settings_));
  const Mono now = service_.clock().mono();
  const bool polled = now - poller_->last_attempt_end() <= kPollAttemptGrace;
  const bool stored = !store_->trouble() && now - last_store_answer_ <= kStoreGrace;
  if (!polled || !stored || settings_.heartbeat_file.empty()) return;
  const std::string before = std::exchange(beat_file_trouble_, write_beat_file());
  if (before == beat_file_trouble_) return;
  if (beat_file_trouble_.empty()) {
    kLog.info("The heartbeat file is written again");
  } else {
    kLog.error("Health: {}", beat_file_trouble_);
  }
}

void Gateway::prune() {
  store_->prune(service_.clock().wall(), settings_.retention,
                Done<std::uint64_t>{.durable = [this](Result<std::uint64_t> n) {
                  if (n && *n > 0) kLog.info("Retention: {} rows removed", *n);
                  if (!n) kLog.error("Retention: {}", n.error().detail);
                  count_dead_letters();
                }});
}

std::string Gateway::unhealthy_reason() const {
  const Mono now = service_.clock().mono();
  if (!poller_) return "starting";
  if (const auto trouble = store_->trouble())
    return "nothing can be stored, and no message is taken meanwhile (Telegram keeps them): " +
           trouble->detail;
  if (now - last_store_answer_ > kStoreGrace) {
    return "the store has not answered for " +
           std::to_string(static_cast<int>(seconds(now - last_store_answer_))) + " s";
  }
  const auto since = poller_->trouble_since();
  if (since && (now - *since > kPollGrace || poller_->trouble().find("(40") != std::string::npos))
    return poller_->trouble();
  if (outbox_->load().held)
    return "Telegram refuses the token; set KATANA_TELEGRAM_TOKEN to the one from @BotFather";
  if (unserved_since_ && now - *unserved_since_ > kUnservedGrace) {
    const std::string provider(dispatcher_->unserved());
    return "questions wait, and no " + provider + " worker is here; see whether katana-" + provider +
           " runs, and its log";
  }
  return beat_file_trouble_;
}

void Gateway::drain() {
  draining_ = true;
  kLog.info("Stopping: polling ends");
  poller_->stop();
  dispatcher_->drain();
  kLog.info("Stopping: {} answers are being written, {} questions wait and stay in the store",
            dispatcher_->in_hand(), dispatcher_->waiting());
  check_drained();
}

void Gateway::check_drained() {
  if (!draining_ || outbox_awaited_ || dispatcher_->in_hand() > 0) return;
  outbox_awaited_ = true;
  outbox_->when_idle([this] { service_.drained(); });
}

void Gateway::stop() {
  tick_timer_.reset();
  beat_file_timer_.reset();
  poll_timer_.reset();
  prune_timer_.reset();
  commands_timer_.reset();
  commands_call_.cancel();
  backlog_timer_.reset();
  backlog_call_.cancel();
  if (outbox_) outbox_->stop();
  control_.reset();
  bus_.reset();
  poller_.reset();
  inbox_.reset();
  store_.reset();  // drains what it was given
  kLog.info("Stopping: the store is closed");
}

void Gateway::reload_models() {
  const auto models = config::shipped_models_path().and_then(
      [&](const std::string& shipped) { return config::load_models(shipped, settings_.models_file); });
  if (models) {
    offer_.models = *models;
    choose_defaults();
    counters_->spend.offer(offer_.models);
  } else {
    kLog.error("The table of models stays as it was: {}", models.error().detail);
  }
}

/// BotFather may have given the bot another token, which stands in its file now.
void Gateway::reload_token() {
  const auto fresh = service::settings_again(config::Program::Gateway, line_);
  if (!fresh) return;
  const Secret& token = fresh->telegram.token;
  if (telegram::bot_id_of(token) != offer_.bot_user_id) {
    return kLog.error("The token is of another bot now: restart the gateway to serve that one");
  }
  api_->set_token(token);
  kLog.info("Telegram API token read again (masked: {})", token.masked());
}

void Gateway::reload() {
  reload_models();
  reload_token();
  kLog.info("Reload: polling and sending are tried again");
  if (poller_) poller_->retry_now();
  if (outbox_) outbox_->resume();
}

void Gateway::report(bus::Heartbeat& beat) {
  if (!outbox_ || !dispatcher_) return;
  const OutboxLoad load = outbox_->load();
  beat.progress = dispatcher_->progress() + load.calls + (poller_ ? poller_->polls() : 0);
  beat.queue = dispatcher_->waiting() + load.queue;
  beat.in_flight = dispatcher_->in_flight() + load.in_flight;
  beat.open_questions = load.answers;
  beat.questions_at_work = dispatcher_->in_flight();
  beat.oldest_wait_ms = static_cast<std::uint64_t>(load.oldest_wait.count());
  beat.dead_letters = dead_letters_;
  beat.pending_updates = backlog_;
  beat.pending_readings = backlog_readings_;
  if (poller_) {
    const auto since = service_.clock().mono() - poller_->last_success().value_or(started_);
    beat.since_poll_ms = static_cast<std::uint64_t>(std::chrono::duration_cast<Millis>(since).count());
  }
  beat.last_error = last_error_;
  beat.unhealthy_reason = unhealthy_reason();
  beat.healthy = beat.unhealthy_reason.empty();
}

std::string Gateway::health_json() const {
  const Mono now = service_.clock().mono();
  nlohmann::json j;
  j["polling_active"] = poller_ && poller_->active();
  j["polling_trouble"] = poller_ ? poller_->trouble() : "";
  j["seconds_since_last_poll"] = poller_ && poller_->last_success()
                                     ? nlohmann::json(seconds(now - *poller_->last_success()))
                                     : nlohmann::json(nullptr);
  j["seconds_since_last_answer"] =
      last_answer_ ? nlohmann::json(seconds(now - *last_answer_)) : nlohmann::json(nullptr);
  const auto store_trouble = store_ ? store_->trouble() : std::nullopt;
  j["store"] = store_trouble ? "failing" : now - last_store_answer_ <= kStoreGrace ? "ok" : "no answer";
  j["store_trouble"] = store_trouble ? store_trouble->detail : "";
  j["workers"] = {{"claude", dispatcher_ ? dispatcher_->pool().count("claude") : 0},
                  {"openai", dispatcher_ ? dispatcher_->pool().count("openai") : 0}};
  j["jobs_waiting"] = dispatcher_ ? dispatcher_->waiting() : 0;
  j["jobs_in_flight"] = dispatcher_ ? dispatcher_->in_flight() : 0;
  j["dead_letters"] = dead_letters_;
  return j.dump();
}

}  // namespace katana::gateway
