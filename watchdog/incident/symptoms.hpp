#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "watchdog/incident/book.hpp"
#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

/// From where on a symptom is an incident, and until where it stays one. A symptom that is open ends at the
/// second figure, so that nothing flaps at an edge.
struct SymptomLimits {
  std::uint64_t backlog = 200;  ///< updates that wait at Telegram, at …
  int backlog_readings = 2;     ///< … so many of the gateway's readings in a row, while polling works
  std::uint64_t backlog_over = 100;
  Millis poll{90'000};  ///< without a successful poll (each lasts up to 50 s)
  Millis poll_over{60'000};
  Millis wait{120'000};  ///< of the oldest question, while others wait, too
  Millis wait_critical{600'000};
  Millis wait_over{60'000};
  Seconds errors_window{300};
  Seconds errors_step{10};          ///< how finely the window moves
  std::uint64_t errors_least = 10;  ///< requests in the window; fewer prove nothing
  double errors = 0.5;
  double errors_over = 0.25;
  double disk = 0.10;  ///< of the whole, or …
  std::uint64_t disk_bytes = 500'000'000;
  double disk_critical = 0.03;
  std::uint64_t disk_bytes_critical = 100'000'000;
  double disk_air = 1.2;  ///< it ends at so many times the limit
  std::chrono::hours certificate{14 * 24};
  std::chrono::hours certificate_critical{2 * 24};
  std::chrono::hours certificate_over{15 * 24};
  Millis skew{5'000};
  int skew_beats = 3;  ///< in a row, not read in one go after a stall
  Millis skew_apart{250};
  Millis skew_over{3'000};
  Millis settle{60'000};  ///< after our own start: then what nobody reports any more is over
};

/// Judgements from outside a process: how it goes with what it works on and stands on. Fed with heartbeats
/// and ticks, it opens and resolves incidents in the book, as the judge does for life and death. A process
/// whose own incident (`process:`, `health:`) is open gets no further ones; a dead one's end. Pure; owned by
/// the watchdog; loop thread only.
class Symptoms {
 public:
  /// `host`: ours. The open incidents of an earlier watchdog are taken over from the book.
  Symptoms(Book& book, const Roster& roster, std::string host, Now now, SymptomLimits limits = {});

  void changed(const Change& change, Now now);
  void beat(const bus::Heartbeat& beat, Now now);
  /// The disk of our own state directory.
  void own_disk(std::uint64_t free_bytes, std::uint64_t total_bytes, Now now);
  /// The certificate among those that we talk to which expires first.
  void own_certificate(const std::string& endpoint, Wall expires, Now now);
  void tick(Now now);

 private:
  struct Sum {
    Mono since{};
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
  };
  struct Provider {
    std::deque<Sum> window{};
    std::string last_error{};
  };
  /// What is remembered of a process from beat to beat.
  struct Subject {
    std::string component;
    std::string host;
    std::string process_id;
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
    std::uint64_t reading = 0;  ///< of Telegram's backlog
    int high_readings = 0;
    std::string endpoint;
    Wall expires{};
    Mono certificate_told{};
    std::uint64_t disk_total = 0;
  };
  struct Clock {
    int ahead_or_behind = 0;  ///< beats in a row
    Mono counted{};
  };

  [[nodiscard]] bool gone_for_long(const std::string& instance, Now now) const;
  Subject& subject(const bus::Heartbeat& beat);
  void backlog(const bus::Heartbeat& beat, Subject& s, Now now);
  void poll(const bus::Heartbeat& beat, Now now);
  void oldest_wait(const bus::Heartbeat& beat, Now now);
  void requests(const bus::Heartbeat& beat, Subject& s, bool fresh, Now now);
  void judge_provider(const std::string& name, Provider& provider, Now now);
  void disk(const Report& about, std::uint64_t free_bytes, std::uint64_t total_bytes, Now now);
  void certificates(Now now);
  void clock(const bus::Heartbeat& beat, Now now);
  void end(const std::string& instance, Now now);
  void sweep(Now now);

  [[nodiscard]] bool heard(const std::string& host) const;
  [[nodiscard]] bool told_already(const std::string& instance) const;
  [[nodiscard]] bool critical(const std::string& key) const;
  void open(Report report, Now now);

  Book& book_;
  const Roster& roster_;
  std::string host_;
  SymptomLimits limits_;
  Mono started_;
  std::map<std::string, Subject> subjects_;  ///< by instance
  std::map<std::string, Provider> providers_;
  std::map<std::string, Clock> clocks_;  ///< by host
};

}  // namespace katana::watchdog
