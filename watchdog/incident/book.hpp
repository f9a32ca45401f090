#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.hpp"
#include "watchdog/incident/flaps.hpp"
#include "watchdog/incident/incident.hpp"

namespace katana::watchdog {

/// Turns reports into incidents and incidents into notices: one when it opens, one when it is over, whatever
/// repeats in between. Many at once are told together (a storm), what comes and goes gets one digest, what is
/// silenced or explained by another open incident is told only if it is still there afterwards, and what
/// nobody answers is told again. Whoever was told of a failure is told of its end. Pure; what it decides goes
/// out through `notify`, in order and numbered.
class Book {
 public:
  static constexpr std::size_t kHistory = 100;
  static constexpr std::size_t kMostSilences = 100;
  static constexpr Seconds kLongestSilence{30 * 86400};
  /// What had a cause is told when it outlives the cause by this.
  static constexpr Seconds kAfterCause{3};
  /// A failure this soon after one that was told alone belongs to the same storm.
  static constexpr Seconds kSameStorm{10};
  static constexpr Seconds kUnanswered{600};      ///< a critical one is escalated
  static constexpr Seconds kRemind{3600};         ///< … and told again, every hour
  static constexpr Seconds kRemindSlowly{86400};  ///< … a warning, or one that somebody looks after

  struct Events {
    std::function<std::string()> fresh_id;
    std::function<void(const Notice&)> notify;
    std::function<std::string()> load{};  ///< what users feel at that moment, such as a queue; optional
  };
  /// `host`: ours. `runbook`: what a link to a kind's instructions begins with; empty: no links.
  Book(std::string host, std::string runbook, Events events);

  /// Opens the incident of that key, or brings its facts up to date.
  void open(Report report, Now now);
  /// Ends it; nothing if it isn't open.
  void resolve(const std::string& key, Now now);
  /// Tells what had to wait: gathered, silenced or explained until now, settled, unanswered.
  void tick(Now now);

  /// Somebody looks after it: no escalation, and a reminder a day. `id` as in the notices.
  Result<std::string> acknowledge(const std::string& id, Now now);
  /// Quiet about `what` (see Silence), or about the incident of that id, for `span`.
  Result<Silence> silence(const std::string& what, Seconds span, Now now);
  Result<void> unsilence(const std::string& id, Now now);

  [[nodiscard]] bool is_open(const std::string& key) const { return open_.count(key) != 0; }
  [[nodiscard]] bool is_flapping(const std::string& key) const;
  [[nodiscard]] bool is_silenced(const Report& report) const;
  [[nodiscard]] const std::map<std::string, Incident>& open_incidents() const { return open_; }
  [[nodiscard]] const std::deque<Incident>& history() const { return history_; }  ///< newest first
  [[nodiscard]] const std::vector<Silence>& silences() const { return silences_; }
  /// The incident that people know by this id, if it is open or flaps, or nullptr.
  [[nodiscard]] const Incident* find(const std::string& id) const;
  /// The same among those that are over and still remembered.
  [[nodiscard]] const Incident* find_past(const std::string& id) const;
  [[nodiscard]] std::uint64_t opened_total() const { return opened_total_; }
  [[nodiscard]] std::uint64_t opened_total(Severity severity) const {
    const auto counted = opened_by_.find(severity);
    return counted == opened_by_.end() ? 0 : counted->second;
  }
  /// Grows whenever what `dump` holds changes.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }

  /// All of it, so that the next process goes on where we stopped.
  [[nodiscard]] std::string dump(Now now) const;
  Result<void> restore(std::string_view json, Now now);
  /// The last notice that the restored dump knew of; later ones may stand in spools alone.
  [[nodiscard]] std::uint64_t last_notice() const { return last_notice_; }
  /// After `restore`: a notice that an earlier process wrote (it is in a spool) and whose place in the dump
  /// was lost with it. In the order of their numbers.
  void recover(const Notice& notice, Now now);

 private:
  [[nodiscard]] bool explained(const Incident& incident) const;
  [[nodiscard]] bool muted(const Incident& incident, Now now) const;
  /// True if its coming and going is too much for single notices.
  bool begins_flapping(const std::string& key, const Incident& incident, Now now);
  void settle_flaps(Now now);
  void became_critical(Incident& incident, Now now);

  void tell_due(Now now);
  void tell_alone(Incident& incident, Now now);
  void tell_brief(Incident incident, Now now);
  void tell_storm(const std::vector<std::string>& keys, Now now);
  Incident& storm_of(Now now);
  void leave_storm(const std::string& key, Now now);
  void close(Incident incident, Now now);
  [[nodiscard]] Millis gap(Now now);
  void remind(Now now);
  void end_silences(Now now);
  void free_explained(const std::string& cause, Now now);
  void send(NoticeKind kind, const Incident& incident, Now now, std::string title = {});
  void to_history(Incident incident);

  std::string host_;
  std::string runbook_;
  Events events_;
  std::map<std::string, Incident> open_;
  std::deque<Incident> brief_;  ///< over before anybody was told
  std::map<std::string, Flaps> flaps_;
  std::deque<Incident> history_;
  std::vector<Silence> silences_;
  std::deque<Mono> told_;   ///< when openings were told, of late
  std::string last_alone_;  ///< key of the one that was told alone last
  std::uint64_t opened_total_ = 0;
  std::map<Severity, std::uint64_t> opened_by_;
  std::uint64_t revision_ = 0;
  std::uint64_t last_notice_ = 0;
};

}  // namespace katana::watchdog
