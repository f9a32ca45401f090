#include "gateway/counters.hpp"

#include "common/service/vitals.hpp"

namespace katana::gateway {
namespace {

/// By the index of Update's body.
constexpr std::array kKinds{"unknown", "message", "edit", "button", "membership", "stop"};
static_assert(kKinds.size() == std::variant_size_v<decltype(Update::body)>);

std::size_t index_of(Code code) {
  return static_cast<std::size_t>(code);
}

}  // namespace

Counters::Counters(service::Metrics& m) : metrics(m), spend(m) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    updates[i] = m.counter("katana_updates_total", "Updates that Telegram handed out, by kind.",
                           {{"kind", kKinds[i]}});
  }
  for (const Code code : kCodes) {
    const std::string name(to_string(code));
    telegram_errors[index_of(code)] =
        m.counter("katana_telegram_errors_total",
                  "Calls to Telegram that failed, polls included, by error code.", {{"code", name}});
    for (const char* provider : {"claude", "openai"}) {
      job_failures[provider][index_of(code)] =
          m.counter("katana_job_failures_total", "Jobs that failed, by provider and error code.",
                    {{"provider", provider}, {"code", name}});
    }
  }
  questions = m.counter("katana_questions_total", "Questions taken from users.");
  duplicates =
      m.counter("katana_updates_duplicate_total", "Updates that had been accepted before and were dropped.");
  stale = m.counter("katana_results_stale_total",
                    "Results of attempts that were over, late or repeated, which were dropped.");
  delivered = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "delivered"}});
  abandoned = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "abandoned"}});
  flood_wait = m.counter("katana_telegram_flood_wait_seconds_total", "Time that Telegram's 429 asked for.");
  first_text_seconds =
      m.histogram("katana_first_text_seconds",
                  "Time from Telegram's handing out a question to the first text of its answer in the chat.",
                  {0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120});
  answer_seconds = m.histogram("katana_answer_seconds",
                               "Time from Telegram's handing out a question to its answer's last edit.",
                               {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300});
  queue = m.gauge("katana_jobs_waiting", "Jobs that wait for a worker.");
  in_flight = m.gauge("katana_jobs_in_flight", "Jobs at workers.");
  oldest_wait = m.gauge("katana_oldest_wait_seconds", "Age of the oldest message that isn't whole yet.");
  dead_letters = m.gauge("katana_dead_letters", "Questions that wait for an operator's word.");
  outbox = m.gauge("katana_outbox_waiting", "Messages that wait to be sent or edited.");
  claude_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "claude"}});
  openai_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "openai"}});
  polling = m.gauge("katana_polling_active", "1 while updates come from Telegram, else 0.");
  watchdog = m.gauge("katana_watchdog_present", "1 while a watchdog watches this gateway, else 0.");
  poll_lag = m.gauge("katana_poll_lag_seconds",
                     "Time since the last poll that worked; up to 50 s while nobody writes.");
  store_ok = m.gauge("katana_store_ok", "1 while the store takes what it is given, else 0.");
  disk_free = m.gauge("katana_store_disk_free_bytes", "Room left on the disk that the store is on.");
  disk_size = m.gauge("katana_store_disk_size_bytes", "Size of the disk that the store is on.");
}

void Counters::ignored(const std::string& why) {
  metrics
      .counter("katana_updates_ignored_total", "Updates that came to nothing, by reason.", {{"reason", why}})
      .add();
}

void Counters::job_failed(const std::string& provider, Code code) {
  const auto known = job_failures.find(provider);
  if (known != job_failures.end()) known->second[index_of(code)].add();
}

void Counters::telegram_failed(const Error& error) {
  telegram_errors[index_of(error.code)].add();
  if (error.code == Code::RateLimited && error.retry_after)
    flood_wait.add(std::chrono::duration<double>(*error.retry_after).count());
}

void Counters::look_at_disk(const std::string& place) {
  const service::DiskSpace space = service::disk_space(place);
  if (space.total_bytes == 0) return;
  disk_free.set(static_cast<double>(space.free_bytes));
  disk_size.set(static_cast<double>(space.total_bytes));
}

}  // namespace katana::gateway
