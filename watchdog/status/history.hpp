#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"
#include "watchdog/incident/incident.hpp"
#include "watchdog/liveness/roster.hpp"
#include "watchdog/status/figures.hpp"

namespace katana::watchdog {

/// What the page plots: the last hour in points of 10 s and the last day in points of 4 minutes, 360 of each.
/// What wasn't seen is a gap and stays one. Pure; a value, so that a copy can be written elsewhere. Bounded:
/// at most kProcesses processes, 0.8 MiB in all.
class History {
 public:
  enum Series {
    Waiting,     ///< messages that wait for a worker, the most in a point's time
    UnderWay,    ///< at workers, the most
    OldestWait,  ///< seconds, the longest
    Messages,    ///< questions a minute
    FirstTextP50,
    FirstTextP99,  ///< seconds from the question to the first text
    AnswerP50,
    AnswerP99,  ///< … to the whole answer
    Errors,     ///< jobs that failed, a minute
    Tokens,     ///< booked in a point's time
    Usd,        ///< booked in a point's time
    kSeries
  };
  enum Span { Hour, Day, kSpans };
  static constexpr std::size_t kPoints = 360;
  static constexpr std::size_t kProcesses = 100;
  static constexpr std::size_t kBeats = 60;  ///< seconds of beats
  static constexpr std::array<Seconds, kSpans> kSteps{Seconds{10}, Seconds{240}};

  /// `1h` or `24h`.
  static std::optional<Span> span_of(std::string_view name);

  /// Of a process that takes part. Its metrics text, if it came with it, is read here.
  void beat(const bus::Heartbeat& beat, Now now);
  /// Once a second: who was heard, and whose time is over.
  void tick(const Roster& roster, Now now);

  /// A letter a second, the latest last: `u` up, `s` starting, `l` late, `h` hung, `x` down, `d` draining,
  /// `n` never heard; a capital where a beat came in that second; `.` where nobody looked. At most kBeats.
  [[nodiscard]] std::string beats(const std::string& instance) const;
  /// Grows with every point of that span.
  [[nodiscard]] std::int64_t last_point(Span span) const { return spans_[span].slot; }
  /// All points of a span as a JSON object, oldest first; null is a gap.
  [[nodiscard]] std::string to_json(Span span) const { return json_of(span, kPoints); }
  /// The same with the last point alone.
  [[nodiscard]] std::string point_json(Span span) const { return json_of(span, 1); }

  /// All points, so that the next process goes on with them; what a point under way has gathered is lost.
  [[nodiscard]] std::string dump() const;
  /// Takes nothing of a text that isn't whole, and no point of a time to come.
  Result<void> restore(std::string_view json, Now now);

 private:
  /// Values by slot (time / step), as many as are shown and the one under way.
  using Track = std::vector<float>;
  struct Gathered {
    std::array<std::optional<double>, kSeries> sums{};  ///< or the most, by the series
    double covered_s = 0;                               ///< how long the counters were watched
    std::array<Buckets, Figures::kTimings> timings{};
  };
  struct SpanState {
    std::int64_t slot = 0;  ///< under way; 0: none was yet
    std::array<Track, kSeries> tracks{};
    Gathered gathered{};
  };
  struct Vitals {
    Track memory, cpu;
    std::uint64_t most_memory = 0, cpu_ms = 0, uptime_ms = 0;  ///< of the point under way
  };
  struct Process {
    std::string id;
    std::uint64_t cpu_ms = 0;
    std::int64_t uptime_ms = 0;
    std::optional<Figures> figures{};
    std::int64_t figures_uptime_ms = 0;
    std::array<Vitals, kSpans> vitals{};
    std::string beats{};
    bool heard = false;
    std::int64_t fed = 0;  ///< slot of the day's
  };

  /// nullptr: there is no room for it.
  Process* process(const std::string& instance, bool gateway);
  void advance(Wall now);
  void move_to(Span span, std::int64_t slot);
  void close(Span span);
  void count(const Figures& increase, double seconds);
  void set_all(Span span, std::int64_t slot, float value);
  [[nodiscard]] std::string budget() const;
  [[nodiscard]] std::string json_of(Span span, std::size_t points) const;

  std::array<SpanState, kSpans> spans_{};
  std::map<std::string, Process> processes_;
  std::optional<Mono> last_tick_{};
  std::optional<double> day_tokens_{}, day_usd_{};  ///< budgets, as the gateway told them last
};

}  // namespace katana::watchdog
