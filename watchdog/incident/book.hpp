#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "watchdog/incident/notice.hpp"

namespace katana::watchdog {

struct Now {
  Mono mono{};
  Wall wall{};
};

/// What is wrong, as the judge words it. `key` is what makes two reports the same incident.
struct Report {
  std::string key;
  Severity severity = Severity::Warning;
  std::string component;
  std::string where;
  std::string title;
  std::string effect{};
  std::string last_error{};
  int restarts = 0;
  std::string except{};  ///< see Notice::except
};

/// An incident, open or past.
struct Incident {
  std::string id;
  Report report;
  Wall opened{};
  std::optional<Wall> resolved{};
  std::int64_t lasted_ms = 0;
  std::optional<Mono> opened_mono{};  ///< unset when an earlier process of ours opened it
};

/// Turns reports into incidents and incidents into notices: one notice when it opens, one when it is over,
/// whatever repeats in between. A key that flips more than kFlips times in kWindow gets one digest, then
/// silence until it has been well for kWindow. Pure; what it decides goes out through `notify`, in order.
class Book {
 public:
  static constexpr int kFlips = 4;
  static constexpr Seconds kWindow{600};
  static constexpr std::size_t kHistory = 100;

  Book(std::string host, std::function<std::string()> fresh_id, std::function<void(const Notice&)> notify);

  /// Opens the incident of that key, or brings its facts up to date.
  void open(Report report, Now now);
  /// Ends it; nothing if it isn't open.
  void resolve(const std::string& key, Now now);
  /// Tells when a flapping key has settled.
  void tick(Now now);

  [[nodiscard]] bool is_open(const std::string& key) const { return open_.count(key) != 0; }
  [[nodiscard]] const std::map<std::string, Incident>& open_incidents() const { return open_; }
  [[nodiscard]] const std::deque<Incident>& history() const { return history_; }  ///< newest first
  [[nodiscard]] std::uint64_t opened_total() const { return opened_total_; }
  /// Grows whenever what `dump` holds changes.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }

  /// The open incidents and what flaps, so that the next process can resolve the ones and stay silent on the
  /// others: it may be our own deaths that flap.
  [[nodiscard]] std::string dump() const;
  Result<void> restore(std::string_view json, Now now);

 private:
  struct Flaps {
    std::deque<Now> flips;
    bool flapping = false;
    int failures = 0;  ///< since the flapping began
    Incident first;    ///< whose thread the digest continues; set while flapping
  };
  bool muted(const std::string& key, const Incident& incident, Now now);
  void send(NoticeKind kind, const Incident& incident, Now now, std::string title = {});

  std::string host_;
  std::function<std::string()> fresh_id_;
  std::function<void(const Notice&)> notify_;
  std::map<std::string, Incident> open_;
  std::map<std::string, Flaps> flaps_;
  std::deque<Incident> history_;
  std::uint64_t opened_total_ = 0;
  std::uint64_t revision_ = 0;
};

}  // namespace katana::watchdog
