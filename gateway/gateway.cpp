#include "gateway/gateway.hpp"

#include <cstdio>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bus/zmq_bus.hpp"
#include "common/core/id.hpp"
#include "common/core/text.hpp"
#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/store/sql_store.hpp"

namespace katana::gateway {
namespace {

constexpr Millis kTick{500};
constexpr Millis kBeatFileEvery{5'000};
constexpr Millis kPruneEvery{3'600'000};
/// Trouble with polling that lasts this long is told; shorter ones heal by themselves.
constexpr Millis kPollGrace{15'000};
constexpr Millis kStoreGrace{10'000};
/// The heartbeat file wants a poll attempt's end this recently: the poll's timeout, its stall limit, and some
/// air.
constexpr Millis kPollAttemptGrace{75'000};
constexpr std::uint32_t kMaxOutputTokens = 8'192;

constexpr std::string_view kSystemPrompt =
    "You are a helpful assistant that people talk to in Telegram. Answer in the language of the question. Be "
    "clear and to "
    "the point; use Markdown where it helps (lists, code blocks with their language), no tables wider than a "
    "phone.";

spdlog::logger& logger() {
  static auto log = log::room("gateway");
  return *log;
}

std::int64_t bot_id_of(const Secret& token) {
  return std::stoll(token.reveal().substr(0, token.reveal().find(':')));
}

double seconds(Mono::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

struct Gateway::Counters {
  explicit Counters(service::Metrics& m) : metrics(m) {
    questions = m.counter("katana_questions_total", "Questions taken from users.");
    duplicates = m.counter("katana_updates_duplicate_total",
                           "Updates that had been accepted before and were dropped.");
    delivered = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "delivered"}});
    abandoned = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "abandoned"}});
    answer_seconds =
        m.histogram("katana_answer_seconds", "Time from taking a question to its answer's last edit.",
                    {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300});
    queue = m.gauge("katana_jobs_waiting", "Jobs that wait for a worker.");
    in_flight = m.gauge("katana_jobs_in_flight", "Jobs at workers.");
    outbox = m.gauge("katana_outbox_waiting", "Messages that wait to be sent or edited.");
    claude_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "claude"}});
    openai_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "openai"}});
    polling = m.gauge("katana_polling_active", "1 while updates come from Telegram, else 0.");
    telegram_errors =
        m.counter("katana_telegram_errors_total", "Calls to Telegram that failed, polls included.");
  }
  service::Metrics& metrics;
  service::Counter questions, duplicates, delivered, abandoned, telegram_errors;
  service::Histogram answer_seconds;
  service::Gauge queue, in_flight, outbox, claude_workers, openai_workers, polling;
  std::uint64_t answered = 0;

  void ignored(const std::string& why) {
    metrics
        .counter("katana_updates_ignored_total", "Updates that came to nothing, by reason.",
                 {{"reason", why}})
        .add();
  }
  void failed(std::string_view code) {
    metrics
        .counter("katana_job_failures_total", "Jobs that failed, by error code.",
                 {{"code", std::string(code)}})
        .add();
  }
};

Gateway::Gateway(service::Service& service, const config::Settings& settings, config::ModelTable models)
    : service_(service),
      settings_(settings),
      offer_{.bot_user_id = bot_id_of(settings.telegram.token),
             .claude = settings.claude.on,
             .openai = settings.openai.on,
             .default_provider = settings.default_provider,
             .models = std::move(models)},
      access_(settings.access, settings.allowed_users, settings.admins),
      chat_(offer_, access_),
      counters_(std::make_unique<Counters>(service.metrics())),
      last_store_answer_(service.clock().mono()) {
  const auto default_model = [&](const config::Provider& provider, std::string_view name) {
    if (!provider.model.empty()) return provider.model;
    const auto* row = offer_.models.default_of(name);
    return row ? row->id : std::string();
  };
  offer_.default_claude_model = default_model(settings.claude, "claude");
  offer_.default_openai_model = default_model(settings.openai, "openai");
}

Gateway::~Gateway() = default;

// ---- start
// -----------------------------------------------------------------------------------------------------------

Result<void> Gateway::start() {
  logger().info("Telegram API token loaded (masked: {})", settings_.telegram.token.masked());
  logger().info("Claude: {}",
                offer_.claude ? "on, " + offer_.default_claude_model : "off (no ANTHROPIC_API_KEY)");
  logger().info("OpenAI: {}",
                offer_.openai ? "on, " + offer_.default_openai_model : "off (no OPENAI_API_KEY)");

  auto store = open_store(service_.loop(), service_.clock(), settings_.store.reveal(), offer_.bot_user_id);
  if (!store) return fail(with_context(store.error(), "opening the store"));
  store_ = std::move(*store);

  api_ = std::make_unique<telegram::HttpBotApi>(
      service_.http(),
      telegram::BotAccess{settings_.telegram.api_url, settings_.telegram.token, settings_.telegram.proxy});
  outbox_alarm_ = std::make_unique<LoopAlarm>(service_.loop());
  outbox_ = std::make_unique<Outbox>(*api_, *store_, service_.clock(), *outbox_alarm_,
                                     OutboxConfig{.limits = settings_.telegram.limits,
                                                  .streaming = settings_.streaming,
                                                  .uncertain = settings_.uncertain},
                                     outbox_events());
  dispatcher_ = std::make_unique<Dispatcher>(
      *store_, service_.clock(),
      DispatchPolicy{.bot_id = offer_.bot_user_id,
                     .gateway_id = service_.process_id(),
                     .system_prompt = std::string(kSystemPrompt),
                     .fallback = settings_.fallback,
                     .default_model =
                         [this](const std::string& p) {
                           return offer_.resolve({p, {}}).model;
                         },
                     .max_output_tokens =
                         [this](const std::string& id) {
                           const auto* model = offer_.models.find(id);
                           const std::uint32_t limit = model ? model->max_output_tokens : 0;
                           return limit == 0 ? kMaxOutputTokens : std::min(limit, kMaxOutputTokens);
                         }},
      dispatch_events());
  inbox_ = std::make_unique<Inbox>(chat_, *store_, service_.clock(), settings_.log_messages, inbox_events());
  poller_ = std::make_unique<Poller>(
      *api_, service_.clock(),
      Poller::Events{.accept =
                         [this](std::vector<Update> updates, std::function<void(Result<void>)> then) {
                           inbox_->accept(std::move(updates), std::move(then));
                         },
                     .changed = [this] { arm_poller(); }});

  auto control = control::ControlServer::listen(
      service_.loop(), settings_.run_dir + "/gateway.sock",
      [this](const control::Request& request, control::ControlServer::Reply reply) {
        this->control(request, std::move(reply));
      });
  if (!control) return fail(with_context(control.error(), "opening the control socket"));
  control_ = std::move(*control);
  recover();
  return {};
}

/// Members, then what is unfinished, then the bus and the poller: nobody is answered by half a memory.
void Gateway::recover() {
  store_->members(Done<std::vector<Member>>{.durable = [this](Result<std::vector<Member>> members) {
    if (!members) {
      return service_.fail(with_context(members.error(), "reading the store"));
    }
    access_.restore(std::move(*members));
    if (!access_.has_admin()) logger().info("There is no admin yet: the first `katana allow CODE` makes one");
    store_->unfinished(Done<Unfinished>{.durable = [this](Result<Unfinished> unfinished) {
      if (!unfinished) {
        return service_.fail(with_context(unfinished.error(), "reading the store"));
      }
      restore(std::move(*unfinished));
      serve();
    }});
  }});
}

void Gateway::restore(Unfinished unfinished) {
  if (!unfinished.turns.empty() || !unfinished.replies.empty()) {
    logger().info("Going on with {} unfinished answers and {} undelivered replies", unfinished.turns.size(),
                  unfinished.replies.size());
  }
  for (auto& r : unfinished.replies)
    outbox_->reply(r.chat, r.outbox_id, std::move(r.reply), r.attempted);
  for (auto& t : unfinished.turns) {
    outbox_->open(AnswerSlot{.turn_id = t.turn_id,
                             .job_id = t.job.job_id,
                             .chat = t.chat,
                             .question_id = t.question_id,
                             .group = t.group,
                             .parts = std::move(t.parts),
                             .recovered = true});
    asked_at_[t.turn_id] = service_.clock().mono();
    if (t.settled) {
      outbox_->finish(t.turn_id, FinalText{.text = std::move(t.answer)});
      continue;
    }
    const ChatChoice choice = offer_.resolve(t.choice);
    dispatcher_->add(Question{.turn_id = t.turn_id,
                              .chat = t.chat,
                              .job = t.job,
                              .provider = choice.provider,
                              .model = choice.model,
                              .deaths = t.deaths,
                              .may_run = t.leased});
  }
}

void Gateway::serve() {
  auto bus = service_.bus().serve_jobs(
      settings_.bus.front(),
      bus::JobServer::Handlers{
          .on_message = [this](const bus::PeerId& peer,
                               bus::Message message) { dispatcher_->on_message(peer, std::move(message)); },
          .on_drained = {},
          .on_malformed = [](const bus::PeerId&,
                             const Error& error) { logger().error("bus: {}", error.detail); }});
  if (!bus) {
    return service_.fail(with_context(bus.error(), "opening the job bus"));
  }
  bus_ = std::move(*bus);
  dispatcher_->attach(*bus_);
  tick_timer_ = service_.loop().every(kTick, [this] { tick(); });
  beat_file_timer_ = service_.loop().every(kBeatFileEvery, [this] { beat_file(); });
  prune_timer_ = service_.loop().every(kPruneEvery, [this] { prune(); });
  introduce();
  poller_->start();
  service_.ready();
}

/// Who are we? The name decides which mentions and commands are ours. Tried until it works.
void Gateway::introduce() {
  introduce_call_ = api_->get_me([this](telegram::ApiResult<telegram::BotUser> me) {
    if (!me) {
      introduce_timer_ = service_.loop().after(Millis{30'000}, [this] { introduce(); });
      return;
    }
    offer_.bot_username = me->username;
    offer_.bot_name = me->first_name;
    logger().info(
        "This is @{} ({}); group privacy is {}", me->username, me->id,
        me->can_read_all_group_messages ? "off" : "on: in groups it sees commands and replies to it");
    std::vector<std::pair<std::string, std::string>> commands{{"new", "Start over"},
                                                              {"model", "See or choose the model"},
                                                              {"stop", "Stop the answer"},
                                                              {"help", "What I can do"}};
    if (offer_.claude && offer_.openai) {
      commands.insert(commands.begin() + 1,
                      {{"claude", "Let Claude answer"}, {"openai", "Let OpenAI answer"}});
    }
    introduce_call_ = api_->set_commands(commands, [](telegram::ApiResult<bool> done) {
      if (!done) logger().warn("The list of commands could not be set: {}", done.error().error.detail);
    });
  });
}

// ---- the way of a question
// -------------------------------------------------------------------------------------------

InboxEvents Gateway::inbox_events() {
  return InboxEvents{
      .on_applied = [this](const Opened& o) { dispatch(o); },
      .on_durable = [this](const Opened& o) { show(o); },
      .on_lost =
          [this](const Opened& o) {
            dispatcher_->drop(o.turn.turn_id);
            early_text_.erase(o.turn.turn_id);
            asked_at_.erase(o.turn.turn_id);
          },
      .on_reply = [this](ChatKey chat, std::int64_t id,
                         Reply reply) { outbox_->reply(chat, id, std::move(reply)); },
      .on_press = [this](const std::string& id, const std::string& text) { press_answered(id, text); },
      .on_again =
          [this](std::int64_t id) {
            if (!outbox_->again(id))
              logger().info("A button asks for message {} again, which nothing is known of", id);
          },
      .on_stop =
          [this](ChatKey chat) {
            if (dispatcher_->cancel(chat)) return;
            store_->add_reply(chat, Reply{.text = phrases::nothing_to_stop()},
                              Done<std::int64_t>{.durable = [this, chat](Result<std::int64_t> id) {
                                if (id) outbox_->reply(chat, *id, Reply{.text = phrases::nothing_to_stop()});
                              }});
          },
      .on_chat_gone =
          [](std::int64_t chat) { logger().info("Chat {}: the bot was removed or blocked", chat); },
      .on_ignored = [this](const std::string& why) { counters_->ignored(why); },
      .on_duplicate = [this] { counters_->duplicates.add(); },
      .refuse = {}};
}

void Gateway::dispatch(const Opened& o) {
  counters_->questions.add();
  asked_at_[o.turn.turn_id] = service_.clock().mono();
  early_text_[o.turn.turn_id];
  const ChatChoice choice = offer_.resolve(o.turn.choice);
  dispatcher_->add(Question{.turn_id = o.turn.turn_id,
                            .chat = o.chat,
                            .job = {o.turn.job_id, 1},
                            .provider = choice.provider,
                            .model = choice.model});
}

void Gateway::show(const Opened& o) {
  outbox_->open(AnswerSlot{.turn_id = o.turn.turn_id,
                           .job_id = o.turn.job_id,
                           .chat = o.chat,
                           .question_id = o.question_id,
                           .group = o.group,
                           .parts = {AnswerPart{.outbox_id = o.turn.placeholder_id}}});
  const auto early = early_text_.extract(o.turn.turn_id);
  if (early && !early.mapped().empty()) outbox_->grow(o.turn.turn_id, early.mapped());
}

DispatchEvents Gateway::dispatch_events() {
  return DispatchEvents{
      .on_text =
          [this](std::int64_t turn, std::string_view piece) {
            const auto early = early_text_.find(turn);
            early == early_text_.end() ? outbox_->grow(turn, piece)
                                       : static_cast<void>(early->second.append(piece));
          },
      .on_whole =
          [this](std::int64_t turn, std::string whole) {
            const auto early = early_text_.find(turn);
            early == early_text_.end() ? outbox_->replace(turn, whole)
                                       : static_cast<void>(early->second = std::move(whole));
          },
      .on_restart =
          [this](std::int64_t turn) {
            const auto early = early_text_.find(turn);
            early == early_text_.end() ? outbox_->restart(turn) : early->second.clear();
          },
      .on_settled = [this](std::int64_t turn,
                           std::string text) { outbox_->finish(turn, FinalText{.text = std::move(text)}); },
      .on_result =
          [](const bus::JobResult& r, const std::string& provider) {
            logger().info("Job {}: answered by {} ({}), {} characters, {} + {} tokens, {} ms", r.job.job_id,
                          provider, r.model, r.text.size(), r.usage.input_tokens, r.usage.output_tokens,
                          r.upstream_ms);
          },
      .on_failure =
          [this](const bus::JobFailed& f, const std::string& provider) {
            counters_->failed(to_string(f.error.code));
            if (f.error.code == Code::Cancelled)
              return logger().info("Job {}: stopped by its user", f.job.job_id);
            last_error_ = provider + ": " + std::string(to_string(f.error.code));
            logger().error("Job {}: {} failed: {}: {}", f.job.job_id, provider, to_string(f.error.code),
                           f.error.detail);
          },
      .blob = {}};
}

OutboxEvents Gateway::outbox_events() {
  return OutboxEvents{
      .on_delivered = [this](std::int64_t turn,
                             const std::string& abandoned) { on_delivered(turn, abandoned); },
      .on_first_text = {},
      .on_reply_done = [this](std::int64_t, const std::string&) { check_drained(); },
      .on_chat_gone =
          [](std::int64_t chat) { logger().info("Chat {}: nothing can be sent there any more", chat); },
      .on_migrated = [](std::int64_t from, std::int64_t to) { logger().info("Chat {} is now {}", from, to); },
      .on_error =
          [this](const Error& error, std::string_view doing) {
            counters_->telegram_errors.add();
            last_error_ = std::string(doing) + ": " + std::string(to_string(error.code));
            logger().warn("Telegram, {}: {}: {}", doing, to_string(error.code), error.detail);
          }};
}

void Gateway::on_delivered(std::int64_t turn_id, const std::string& abandoned) {
  const auto asked = asked_at_.extract(turn_id);
  if (abandoned.empty()) {
    last_answer_ = service_.clock().mono();
    ++counters_->answered;
    counters_->delivered.add();
    if (asked) counters_->answer_seconds.observe(seconds(*last_answer_ - asked.mapped()));
  } else {
    counters_->abandoned.add();
    logger().warn("Turn {}: its answer could not be shown: {}", turn_id, abandoned);
  }
  check_drained();
}

void Gateway::press_answered(const std::string& press_id, const std::string& text) {
  const std::uint64_t n = next_press_++;
  press_calls_[n] = api_->answer_callback(press_id, text, [this, n](telegram::ApiResult<bool>) {
    service_.loop().later([this, n] { press_calls_.erase(n); });
  });
}

// ---- time
// ------------------------------------------------------------------------------------------------------------

void Gateway::tick() {
  dispatcher_->tick();
  counters_->queue.set(static_cast<double>(dispatcher_->waiting()));
  counters_->in_flight.set(static_cast<double>(dispatcher_->in_flight()));
  counters_->outbox.set(static_cast<double>(outbox_->load().queue));
  counters_->claude_workers.set(dispatcher_->pool().count("claude"));
  counters_->openai_workers.set(dispatcher_->pool().count("openai"));
  counters_->polling.set(poller_->active() ? 1 : 0);
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

/// The sign of life that `katana check-heartbeat` reads: written only while there is progress, by rename, so
/// that no reader meets half a file. A few bytes in the page cache every 5 s: not worth a thread.
void Gateway::beat_file() {
  if (!store_asked_) {
    store_asked_ = true;
    store_->ping(Done<Nothing>{.durable = [this](Result<Nothing> answer) {
      store_asked_ = false;
      if (answer) last_store_answer_ = service_.clock().mono();
    }});
  }
  const Mono now = service_.clock().mono();
  const bool polled = now - poller_->last_attempt_end() <= kPollAttemptGrace;
  const bool stored = now - last_store_answer_ <= kStoreGrace;
  if (!polled || !stored || settings_.heartbeat_file.empty()) return;
  const std::string part = settings_.heartbeat_file + ".new";
  {
    std::ofstream file(part, std::ios::trunc);
    file << to_unix(service_.clock().wall()) << '\n';
    if (!file) {
      logger().error("The heartbeat file can't be written: {}; is its directory writable for this user?",
                     part);
      return;
    }
  }
  ::chmod(part.c_str(), 0644);
  if (std::rename(part.c_str(), settings_.heartbeat_file.c_str()) != 0) {
    logger().error("The heartbeat file can't be put in place: {}", settings_.heartbeat_file);
  }
}

void Gateway::prune() {
  store_->prune(service_.clock().wall(), settings_.retention,
                Done<std::uint64_t>{.durable = [](Result<std::uint64_t> n) {
                  if (n && *n > 0) logger().info("Retention: {} rows removed", *n);
                  if (!n) logger().error("Retention: {}", n.error().detail);
                }});
}

std::string Gateway::unhealthy_reason() const {
  const Mono now = service_.clock().mono();
  if (!poller_) return "starting";
  if (now - last_store_answer_ > kStoreGrace) {
    return "the store has not answered for " +
           std::to_string(static_cast<int>(seconds(now - last_store_answer_))) + " s";
  }
  const auto since = poller_->trouble_since();
  if (since && (now - *since > kPollGrace || poller_->trouble().find("(40") != std::string::npos))
    return poller_->trouble();
  if (outbox_->load().held)
    return "Telegram refuses the token; set KATANA_TELEGRAM_TOKEN to the one from @BotFather";
  return {};
}

void Gateway::drain() {
  draining_ = true;
  logger().info("Stopping: polling ends");
  poller_->stop();
  dispatcher_->drain();
  logger().info("Stopping: {} answers are being written, {} questions wait and stay in the store",
                dispatcher_->in_flight(), dispatcher_->waiting());
  check_drained();
}

void Gateway::check_drained() {
  if (!draining_ || outbox_awaited_ || dispatcher_->in_flight() > 0) return;
  outbox_awaited_ = true;
  outbox_->when_idle([this] { service_.drained(); });
}

void Gateway::stop() {
  tick_timer_.reset();
  beat_file_timer_.reset();
  poll_timer_.reset();
  prune_timer_.reset();
  introduce_timer_.reset();
  introduce_call_.cancel();
  press_calls_.clear();
  if (outbox_) outbox_->stop();
  control_.reset();
  bus_.reset();
  poller_.reset();
  inbox_.reset();
  store_.reset();  // drains what it was given
  logger().info("Stopping: the store is closed");
}

void Gateway::reload() {
  logger().info("Reload: polling and sending are tried again");
  if (poller_) poller_->retry_now();
  if (outbox_) outbox_->resume();
}

void Gateway::report(bus::Heartbeat& beat) {
  if (!outbox_ || !dispatcher_) return;
  const OutboxLoad load = outbox_->load();
  beat.progress = dispatcher_->progress() + load.calls + (poller_ ? poller_->polls() : 0);
  beat.queue = dispatcher_->waiting() + load.queue;
  beat.in_flight = dispatcher_->in_flight() + load.in_flight;
  beat.oldest_wait_ms = static_cast<std::uint64_t>(load.oldest_wait.count());
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
  j["store"] = now - last_store_answer_ <= kStoreGrace ? "ok" : "no answer";
  j["workers"] = {{"claude", dispatcher_ ? dispatcher_->pool().count("claude") : 0},
                  {"openai", dispatcher_ ? dispatcher_->pool().count("openai") : 0}};
  j["jobs_waiting"] = dispatcher_ ? dispatcher_->waiting() : 0;
  j["jobs_in_flight"] = dispatcher_ ? dispatcher_->in_flight() : 0;
  return j.dump();
}

int run(const config::Settings& settings, config::ModelTable models) {
  std::unique_ptr<Gateway> gateway;  // made after the service that it stands on, gone before it
  service::Service service(
      service::Identity{.component = "gateway",
                        .instance = settings.instance.empty() ? "gateway" : settings.instance,
                        .http_address = settings.gateway_http,
                        .watch_endpoint = settings.watch,
                        .keys_dir = settings.keys_dir},
      service::Hooks{.start = [&] { return gateway->start(); },
                     .drain = [&] { gateway->drain(); },
                     .stop = [&] { gateway->stop(); },
                     .report = [&](bus::Heartbeat& beat) { gateway->report(beat); },
                     .health_json = [&] { return gateway->health_json(); },
                     .reload = [&] { gateway->reload(); },
                     .http = {}});
  gateway = std::make_unique<Gateway>(service, settings, std::move(models));
  const int status = service.run();
  gateway.reset();
  return status;
}

}  // namespace katana::gateway
