#include "gateway/gateway.hpp"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <utility>

#include "common/bus/zmq_bus.hpp"
#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "gateway/counters.hpp"
#include "gateway/store/sql_store.hpp"

namespace katana::gateway {
namespace {

constexpr Millis kTick{500};
constexpr Millis kBeatFileEvery{5'000};
constexpr Millis kFirstPrune{60'000};  // a gateway that never lives for an hour prunes, too
constexpr Millis kPruneEvery{3'600'000};
constexpr std::uint32_t kMaxOutputTokens = 8'192;

constexpr std::string_view kSystemPrompt =
    "You are a helpful assistant that people talk to in Telegram. Answer in the language of the question. "
    "Be clear and to the point; use Markdown where it helps (lists, code blocks with their language), no "
    "tables wider than a phone.";

constexpr log::Room kLog{"gateway"};

}  // namespace

Gateway::Gateway(service::Service& service, const config::Settings& settings, const config::CommandLine& line,
                 config::ModelTable models)
    : service_(service),
      settings_(settings),
      line_(line),
      offer_{.bot_user_id = telegram::bot_id_of(settings.telegram.token),
             .claude = settings.claude.on,
             .openai = settings.openai.on,
             .default_provider = settings.default_provider,
             .models = std::move(models),
             .max_age = settings.max_age},
      access_(settings.access, settings.allowed_users, settings.admins),
      chat_(offer_, access_),
      counters_(std::make_unique<Counters>(service.metrics())),
      watchers_(service.clock().mono()),
      started_(service.clock().mono()),
      last_store_answer_(service.clock().mono()) {
  choose_defaults();
  counters_->spend.offer(offer_.models);
  counters_->spend.allow("day", settings.budget_day);
  counters_->spend.allow("month", settings.budget_month);
  counters_->look_at_disk(disk_of(settings));
}

void Gateway::choose_defaults() {
  const auto default_model = [&](const config::Provider& provider, std::string_view name) {
    if (!provider.model.empty()) return provider.model;
    const auto* row = offer_.models.default_of(name);
    return row ? row->id : std::string();
  };
  offer_.default_claude_model = default_model(settings_.claude, "claude");
  offer_.default_openai_model = default_model(settings_.openai, "openai");
}

Gateway::~Gateway() = default;

// ---- start ----

Result<void> Gateway::start() {
  kLog.info("Telegram API token loaded (masked: {})", settings_.telegram.token.masked());
  kLog.info("Claude: {}",
            offer_.claude ? "on, " + offer_.default_claude_model : "off (no ANTHROPIC_API_KEY)");
  kLog.info("OpenAI: {}", offer_.openai ? "on, " + offer_.default_openai_model : "off (no OPENAI_API_KEY)");

  auto store = open_store(service_.loop(), service_.clock(), settings_.store.reveal(), offer_.bot_user_id,
                          [this] { service_.still_starting(); });
  if (!store) return fail(store.error());
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
                           handed_out_ = service_.clock().mono();
                           for (const Update& update : updates)
                             counters_->update(update);
                           inbox_->accept(std::move(updates), std::move(then));
                         },
                     .changed =
                         [this] {
                           arm_poller();
                           if (poller_->polls() == 1) beat_file();  // the first sign of life at once
                         },
                     .introduced = [this](const telegram::BotUser& me) { introduced(me); },
                     .store_trouble = [this] { return store_->trouble(); },
                     .failed = [this](const Error& error) { counters_->telegram_failed(error); }});

  auto control = control::ControlServer::listen(
      service_.loop(), settings_.run_dir + "/gateway.sock",
      [this](const control::Request& request, const control::ControlServer::Reply& reply) {
        this->control(request, reply);
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
    if (!access_.has_admin()) kLog.info("There is no admin yet: the first `katana allow CODE` makes one");
    count_dead_letters();  // told before we call ourselves ready: a beat without them would end their
                           // incident
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
    kLog.info("Going on with {} unfinished answers and {} undelivered replies", unfinished.turns.size(),
              unfinished.replies.size());
  }
  for (const Pause& p : unfinished.pauses)
    outbox_->pause(p.chat_id, p.left);
  for (auto& r : unfinished.replies)
    outbox_->reply(r.chat, r.outbox_id, std::move(r.reply), r.attempted);
  for (auto& t : unfinished.turns)
    take_up(std::move(t), true);
}

void Gateway::take_up(OpenTurn t, bool recovered) {
  outbox_->open(AnswerSlot{.turn_id = t.turn_id,
                           .job_id = t.job.job_id,
                           .chat = t.chat,
                           .question_id = t.question_id,
                           .group = t.group,
                           .parts = std::move(t.parts),
                           .recovered = recovered});
  // Of what was asked before our start the wall clock alone knows; whether text was shown, nobody here does.
  const auto waited = recovered ? service_.clock().wall() - t.asked_at : Wall::duration{0};
  asked_[t.turn_id] = {service_.clock().mono() - std::max(waited, Wall::duration{0}), recovered};
  if (t.settled) {
    outbox_->finish(t.turn_id, FinalText{.text = std::move(t.answer)});
    return;
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

void Gateway::serve() {
  auto bus = service_.bus().serve_jobs(
      settings_.bus.front(),
      bus::JobServer::Handlers{
          .on_message = [this](const bus::PeerId& peer,
                               bus::Message message) { from_bus(peer, std::move(message)); },
          .on_drained = {},
          .on_malformed =
              [n = std::uint64_t{0}](const bus::PeerId& peer, const Error& error) mutable {
                // Whoever sends one may send a million: the log hears of the 1st, 2nd, 4th, 8th …
                if (std::has_single_bit(++n))
                  kLog.error("A frame on the bus was dropped, from {}: {} (so far: {})", peer, error.detail,
                             n);
              }});
  if (!bus) {
    return service_.fail(with_context(bus.error(), "opening the job bus"));
  }
  bus_ = std::move(*bus);
  dispatcher_->attach(*bus_);
  look_at_the_clock();
  tick_timer_ = service_.loop().every(kTick, [this] { tick(); });
  beat_file_timer_ = service_.loop().every(kBeatFileEvery, [this] { beat_file(); });
  prune_timer_ = service_.loop().after(kFirstPrune, [this] {
    prune();
    prune_timer_ = service_.loop().every(kPruneEvery, [this] { prune(); });
  });
  watch_surroundings();
  poller_->start();
  service_.ready();
}

/// The name decides which mentions and commands are ours.
void Gateway::introduced(const telegram::BotUser& me) {
  offer_.bot_username = me.username;
  offer_.bot_name = me.first_name;
  kLog.info("This is @{} ({}); group privacy is {}", me.username, me.id,
            me.can_read_all_group_messages ? "off" : "on: in groups it sees commands and replies to it");
  set_commands();
}

/// Telegram's menu beside the text field; tried until it is taken, or refused for good.
void Gateway::set_commands() {
  commands_timer_.reset();
  std::vector<std::pair<std::string, std::string>> commands{{"new", "Start over"},
                                                            {"model", "See or choose the model"},
                                                            {"stop", "Stop the answer"},
                                                            {"help", "What I can do"}};
  if (offer_.claude && offer_.openai) {
    commands.insert(commands.begin() + 1, {{"claude", "Let Claude answer"}, {"openai", "Let OpenAI answer"}});
  }
  commands_call_ = api_->set_commands(commands, [this](telegram::ApiResult<bool> done) {
    if (done) return commands_backoff_.reset();
    const Error& error = done.error().error;
    counters_->telegram_failed(error);
    kLog.warn("The list of commands could not be set: {}", error.detail);
    if (error.code == Code::Rejected) return;
    const Millis wait = std::max(commands_backoff_.next(random_u64()), error.retry_after.value_or(Millis{0}));
    commands_timer_ = service_.loop().after(wait, [this] { set_commands(); });
  });
}

std::string disk_of(const config::Settings& settings) {
  constexpr std::string_view kSqlite = "sqlite:";
  const std::string& url = settings.store.reveal();
  if (!url.starts_with(kSqlite)) return settings.state_dir;
  const auto directory = std::filesystem::path(url.substr(kSqlite.size())).parent_path();
  return directory.empty() ? "." : directory.string();
}

int run(const config::Settings& settings, const config::CommandLine& line, config::ModelTable models) {
  std::unique_ptr<Gateway> gateway;  // made after the service that it stands on, gone before it
  service::Service service(
      service::Identity{.component = "gateway",
                        .instance = settings.instance.empty() ? "gateway" : settings.instance,
                        .http_address = settings.gateway_http,
                        .watch_endpoint = settings.watch,
                        .keys = {settings.keys_dir, settings.key_secrets_dir},
                        .disk = disk_of(settings)},
      service::Hooks{.start = [&] { return gateway->start(); },
                     .drain = [&] { gateway->drain(); },
                     .stop = [&] { gateway->stop(); },
                     .report = [&](bus::Heartbeat& beat) { gateway->report(beat); },
                     .health_json = [&] { return gateway->health_json(); },
                     .reload = [&] { gateway->reload(); },
                     .http = {}});
  gateway = std::make_unique<Gateway>(service, settings, line, std::move(models));
  const int status = service.run();
  gateway.reset();
  return status;
}

}  // namespace katana::gateway
