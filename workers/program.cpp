#include "workers/program.hpp"

#include <optional>
#include <string>
#include <utility>

#include "common/bus/zmq_bus.hpp"
#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "common/service/notify.hpp"
#include "common/service/program.hpp"
#include "common/service/service.hpp"
#include "workers/worker.hpp"

namespace katana::workers {
namespace {

constexpr log::Room kLog{"worker"};

double seconds(Millis ms) {
  return static_cast<double>(ms.count()) / 1000.0;
}

/// What the metrics say of each call.
class CallMetrics {
 public:
  CallMetrics(service::Metrics& metrics, std::string provider)
      : metrics_(metrics), provider_(std::move(provider)) {
    latency_ = metrics_.histogram(
        "katana_provider_latency_seconds", "Time from a job's first request to its outcome.",
        {0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640}, {{"provider", provider_}});
    first_text_ = metrics_.histogram("katana_provider_first_text_seconds",
                                     "Time from a job's first request to the first text of its answer.",
                                     {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80}, {{"provider", provider_}});
    retries_ = metrics_.counter("katana_provider_retries_total", "Requests made again after a failure.",
                                {{"provider", provider_}});
    tokens_in_ = tokens("input");
    tokens_out_ = tokens("output");
    tokens_cached_ = tokens("cache_read");
    in_flight_ = metrics_.gauge("katana_provider_requests_in_flight", "Jobs at the provider now.",
                                {{"provider", provider_}});
    tokens_written_ = tokens("cache_write");
    answered_ = outcome(kAnswered);
    for (const Code code : kCodes)
      outcome(to_string(code));  // at 0 from the start: the first one shows as an increase
  }

  void on_report(const CallReport& report) {
    (report.outcome == kAnswered ? answered_ : outcome(report.outcome)).add();
    latency_.observe(seconds(report.took));
    if (report.first_text) first_text_.observe(seconds(*report.first_text));
    if (report.retries > 0) retries_.add(report.retries);
    tokens_in_.add(static_cast<double>(report.usage.input_tokens));
    tokens_out_.add(static_cast<double>(report.usage.output_tokens));
    tokens_cached_.add(static_cast<double>(report.usage.cache_read_tokens));
    tokens_written_.add(static_cast<double>(report.usage.cache_write_tokens));
  }

  void in_flight(std::size_t jobs) { in_flight_.set(static_cast<double>(jobs)); }

 private:
  service::Counter outcome(std::string_view name) {
    return metrics_.counter("katana_provider_requests_total", "Jobs by how they ended at the provider.",
                            {{"provider", provider_}, {"outcome", std::string(name)}});
  }
  service::Counter tokens(const std::string& kind) {
    return metrics_.counter("katana_provider_tokens_total",
                            "Tokens as the provider counts them; the cache's are among the input.",
                            {{"provider", provider_}, {"kind", kind}});
  }

  service::Metrics& metrics_;
  std::string provider_;
  service::Histogram latency_, first_text_;
  service::Counter answered_, retries_, tokens_in_, tokens_out_, tokens_cached_, tokens_written_;
  service::Gauge in_flight_;
};

/// A worker process: the worker over the service's loop, bus and HTTP client.
class Process {
 public:
  Process(const config::Settings& settings, const config::CommandLine& line, const ProviderProgram& program)
      : settings_(settings),
        line_(line),
        program_(program),
        account_(settings.*program.account),
        service_({.component = program.component,
                  .instance = settings.instance.empty() ? program.component : settings.instance,
                  .watch_endpoint = settings.watch,
                  .keys = {settings.keys_dir, settings.key_secrets_dir}},
                 {.start = [this] { return start(); },
                  .drain = [this] { drain(); },
                  .stop = [this] { stop(); },
                  .report = [this](bus::Heartbeat& beat) { report(beat); },
                  .reload = [this] { reload(); }}),
        provider_(program.make(account_)),
        metrics_(service_.metrics(), program.component) {}

  int run() { return service_.run(); }

 private:
  Result<void> start() {
    for (const Secret& key : account_.keys)
      kLog.info("{} API key loaded (masked: {})", program_.label, key.masked());
    if (account_.keys.empty()) kLog.info("No API key: the server at {} asks for none", account_.base_url);
    kLog.info("Answers come from {}; up to {} jobs at once", account_.base_url, settings_.worker_jobs);
    Worker::Options options{.worker_id = service_.process_id(),
                            .build = KATANA_VERSION,
                            .keys = account_.keys,
                            .jobs = static_cast<std::uint32_t>(settings_.worker_jobs),
                            .log_messages = settings_.log_messages};
    if (!account_.model.empty()) options.models.push_back(account_.model);
    worker_.emplace(
        std::move(options),
        Worker::Ports{.provider = *provider_,
                      .http = service_.http(),
                      .clock = service_.clock(),
                      .on_report = [this](const CallReport& report) { metrics_.on_report(report); },
                      .on_busy = [this](bool busy) { on_busy(busy); },
                      .on_words = [this] { service_.loop().later([this] { worker_->speak(); }); },
                      .on_drained = [this] { service_.drained(); }});
    for (std::size_t gateway = 0; gateway < settings_.bus.size(); ++gateway) {
      const std::string& endpoint = settings_.bus[gateway];
      auto client = service_.bus().connect_jobs(
          endpoint,
          {.on_message =
               [this, gateway](bus::Message message) { worker_->on_message(gateway, std::move(message)); },
           .on_malformed =
               [this, endpoint](const Error& error) {
                 kLog.error("a message from the gateway at {} was dropped: {}", endpoint, error.detail);
               },
           .on_connected = [this, gateway] { worker_->on_connected(gateway); }});
      if (!client) return fail(with_context(client.error(), "connecting to the gateway at " + endpoint));
      kLog.info("Connecting to the gateway at {}", endpoint);
      worker_->add_gateway(endpoint, std::move(*client));
    }
    beat_ = service_.loop().every(Worker::kBeat, [this] { worker_->beat(); });
    service_.ready();
    return {};
  }

  void on_busy(bool busy) {
    if (busy)
      tick_ = service_.loop().every(Worker::kTick, [this] { worker_->tick(); });
    else
      tick_.reset();
  }

  void drain() {
    if (!worker_) return service_.drained();
    kLog.info("Stopping: no new jobs; {} in hand may end", worker_->in_hand());
    worker_->drain();
  }

  void stop() {
    tick_.reset();
    beat_.reset();
    if (!worker_) return;
    if (worker_->in_hand() > 0)
      kLog.warn("Stopping with {} jobs in hand; others will do them", worker_->in_hand());
    worker_->leave();
    kLog.info("Left the gateway");
  }

  void report(bus::Heartbeat& beat) {
    if (!worker_) return;
    worker_->report(beat);
    metrics_.in_flight(worker_->running());
  }

  /// The keys may have changed in their files.
  void reload() {
    const auto fresh = service::settings_again(program_.kind, line_);
    if (!fresh) return;
    const config::Provider& account = (*fresh).*program_.account;
    worker_->set_keys(account.keys);
    kLog.info("{} keys read again", account.keys.size());
  }

  const config::Settings& settings_;
  const config::CommandLine& line_;
  const ProviderProgram& program_;
  const config::Provider& account_;
  service::Service service_;
  std::unique_ptr<Provider> provider_;
  CallMetrics metrics_;
  std::optional<Worker> worker_;
  loop::Timer beat_;
  loop::Timer tick_;
};

}  // namespace

int run(int argc, const char* const* argv, const ProviderProgram& program) {
  const service::ProgramInfo info{
      .about = {program.program,
                std::string("Answers jobs of the Katana gateway with ") + program.label + "."},
      .kind = program.kind,
      .component = program.component};
  return service::run_program(
      argc, argv, info, [&](const config::Settings& settings, const config::CommandLine& line) {
        if (!(settings.*program.account).on) {
          kLog.info("{} is off: {} is not set. Nothing to do here", program.label, program.key_setting);
          service::Notify().tell("READY=1\nSTATUS=off: there is no key");  // its unit has not failed
          return 0;
        }
        return Process(settings, line, program).run();
      });
}

}  // namespace katana::workers
