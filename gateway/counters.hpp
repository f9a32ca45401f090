#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/service/metrics.hpp"
#include "gateway/gateway.hpp"

namespace katana::gateway {

/// The gateway's metrics. Owned by Gateway.
struct Gateway::Counters {
  explicit Counters(service::Metrics& m) : metrics(m) {
    questions = m.counter("katana_questions_total", "Questions taken from users.");
    duplicates = m.counter("katana_updates_duplicate_total",
                           "Updates that had been accepted before and were dropped.");
    stale = m.counter("katana_results_stale_total",
                      "Results of attempts that were over, late or repeated, which were dropped.");
    delivered = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "delivered"}});
    abandoned = m.counter("katana_answers_total", "Answers by how they ended.", {{"outcome", "abandoned"}});
    answer_seconds =
        m.histogram("katana_answer_seconds", "Time from taking a question to its answer's last edit.",
                    {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300});
    queue = m.gauge("katana_jobs_waiting", "Jobs that wait for a worker.");
    in_flight = m.gauge("katana_jobs_in_flight", "Jobs at workers.");
    dead_letters = m.gauge("katana_dead_letters", "Questions that wait for an operator's word.");
    outbox = m.gauge("katana_outbox_waiting", "Messages that wait to be sent or edited.");
    claude_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "claude"}});
    openai_workers = m.gauge("katana_workers", "Workers connected, by provider.", {{"provider", "openai"}});
    polling = m.gauge("katana_polling_active", "1 while updates come from Telegram, else 0.");
    watchdog = m.gauge("katana_watchdog_present", "1 while a watchdog watches this gateway, else 0.");
    telegram_errors =
        m.counter("katana_telegram_errors_total", "Calls to Telegram that failed, polls included.");
  }
  service::Metrics& metrics;
  service::Counter questions, duplicates, stale, delivered, abandoned, telegram_errors;
  service::Histogram answer_seconds;
  service::Gauge queue, in_flight, dead_letters, outbox, claude_workers, openai_workers, polling, watchdog;
  std::uint64_t answered = 0;
  std::uint64_t failed_polls = 0;  ///< as many of the poller's failures are in `telegram_errors`

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

}  // namespace katana::gateway
