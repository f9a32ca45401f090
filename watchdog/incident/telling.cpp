// Book, how people are told: alone, together, and again when nobody answers.
#include <algorithm>
#include <set>
#include <utility>

#include "watchdog/incident/book.hpp"

namespace katana::watchdog {
namespace {

constexpr const char* kStorm = "storm";
constexpr const char* kChannel = "channel";
constexpr std::size_t kFew = 3;  // so many at once are told each for itself, and each one's end
constexpr Seconds kOfLate{600};
constexpr std::size_t kNames = 10;  // of a storm, in its title

/// The least time between two notices of openings, by how many there were of late: the first comes at once,
/// an ordinary one within seconds, and a storm that goes on gets a notice a minute.
Millis gap_after(std::size_t told) {
  if (told == 0) return Millis{0};
  if (told <= 3) return Millis{1'000};
  if (told <= 6) return Millis{4'000};
  return told <= 12 ? Millis{15'000} : Millis{60'000};
}

std::string first_names(const std::vector<const Incident*>& all) {
  std::string out;
  for (std::size_t i = 0; i < std::min(all.size(), kNames); ++i)
    out += (i == 0 ? "" : ", ") + all[i]->report.where;
  if (all.size() > kNames) out += " and " + std::to_string(all.size() - kNames) + " more";
  return out;
}

std::string by_component(const std::vector<const Incident*>& all) {
  std::map<std::string, int> counts;
  for (const auto* i : all)
    ++counts[i->report.component];
  std::string out;
  for (const auto& [component, count] : counts)
    out += (out.empty() ? "" : ", ") + std::to_string(count) + " " + component;
  return out;
}

std::string effects_of(const std::vector<const Incident*>& all) {
  std::set<std::string> effects;
  for (const auto* i : all)
    if (!i->report.effect.empty() && effects.size() < 3) effects.insert(i->report.effect);
  std::string out;
  for (const auto& effect : effects)
    out += (out.empty() ? "" : "; ") + effect;
  return out;
}

bool more_severe(const Incident* a, const Incident* b) {
  return a->report.severity > b->report.severity;
}

}  // namespace

Millis Book::gap(Now now) {
  while (!told_.empty() && now.mono - told_.front() > kOfLate)
    told_.pop_front();
  return gap_after(told_.size());
}

void Book::tell_due(Now now) {
  std::vector<std::string> keys, alone;
  for (const auto& [key, i] : open_)
    if (!i.told && !muted(i, now)) (i.report.component == kChannel ? alone : keys).push_back(key);
  const std::size_t waiting = keys.size() + brief_.size() + alone.size();
  if (waiting == 0) return;
  const Millis wait = gap(now);
  if (!told_.empty() && now.mono - told_.back() < wait) return;
  const bool joins = is_open(kStorm) && !told_.empty() && now.mono - told_.back() < kSameStorm;
  if (keys.size() + brief_.size() > (joins ? 0 : kFew)) {
    tell_storm(keys, now);
  } else {
    alone.insert(alone.end(), keys.begin(), keys.end());
    for (auto& brief : std::exchange(brief_, {}))
      tell_brief(std::move(brief), now);
  }
  // A channel may fail for days: in a storm it would keep that from being over.
  for (const auto& key : alone) {
    // A storm that is over at once tells what waits besides.
    const auto it = open_.find(key);
    if (it != open_.end() && !it->second.told) tell_alone(it->second, now);
  }
  told_.push_back(now.mono);
}

void Book::tell_alone(Incident& incident, Now now) {
  incident.told = true;
  incident.reminder_due =
      now.mono + (incident.report.severity == Severity::Critical ? kUnanswered : kRemindSlowly);
  last_alone_ = incident.report.key;
  send(NoticeKind::Opened, incident, now);
}

void Book::tell_brief(Incident incident, Now now) {
  incident.told = true;
  send(NoticeKind::Opened, incident, now);
  send(NoticeKind::Resolved, incident, now);
  to_history(std::move(incident));
}

/// The storm that is on, or a new one: in the thread of the failure that was told alone just before.
Incident& Book::storm_of(Now now) {
  const auto on = open_.find(kStorm);
  if (on != open_.end()) return on->second;
  Incident storm;
  storm.report.key = storm.report.component = kStorm;
  storm.report.where = "several";
  storm.opened = now.wall;
  storm.opened_mono = now.mono;
  const auto leader = open_.find(last_alone_);
  if (leader != open_.end() && leader->second.told && leader->second.report.component != kChannel &&
      !told_.empty() && now.mono - told_.back() < kSameStorm) {
    storm.id = leader->second.thread;
    storm.opened = leader->second.opened;
    storm.opened_mono = leader->second.opened_mono;
    storm.members.push_back(last_alone_);
  } else {
    storm.id = events_.fresh_id();
  }
  storm.thread = storm.id;
  return open_.emplace(kStorm, std::move(storm)).first->second;
}

void Book::tell_storm(const std::vector<std::string>& keys, Now now) {
  const bool goes_on = is_open(kStorm);
  Incident& storm = storm_of(now);
  const auto over = std::exchange(brief_, {});
  std::vector<const Incident*> news;
  if (!goes_on)
    for (const auto& key : storm.members)
      news.push_back(&open_.at(key));
  for (const auto& key : keys) {
    Incident& i = open_.at(key);
    i.told = true;
    i.thread = storm.id;
    storm.members.push_back(key);
    news.push_back(&i);
  }
  for (const auto& i : over)
    news.push_back(&i);
  std::stable_sort(news.begin(), news.end(), more_severe);
  Report& report = storm.report;
  report.severity = std::max(report.severity, news.front()->report.severity);
  report.effect = effects_of(news);
  const std::string title = std::to_string(news.size()) + (goes_on ? " more failure" : " failure") +
                            (news.size() == 1 ? "" : "s") +
                            (goes_on ? ", " + std::to_string(storm.members.size()) + " open" : " at once") +
                            " (" + by_component(news) + "): " + first_names(news);
  if (!goes_on) report.title = title;
  storm.told = true;
  storm.reminder_due = now.mono + (report.severity == Severity::Critical ? kUnanswered : kRemindSlowly);
  send(NoticeKind::Storm, storm, now, title);
  for (auto i : over) {
    i.told = true;
    i.thread = storm.id;
    to_history(std::move(i));
  }
  if (storm.members.empty()) resolve(kStorm, now);
}

void Book::leave_storm(const std::string& key, Now now) {
  const auto storm = open_.find(kStorm);
  if (storm == open_.end()) return;
  std::erase(storm->second.members, key);
  if (storm->second.members.empty()) resolve(kStorm, now);
}

void Book::remind(Now now) {
  const auto storm = open_.find(kStorm);
  for (auto& [key, i] : open_) {
    if (!i.told || !i.reminder_due || now.mono < *i.reminder_due || muted(i, now)) continue;
    const bool in_storm = storm != open_.end() && key != kStorm && i.thread == storm->second.id;
    const bool urgent = i.report.severity == Severity::Critical && !i.acknowledged;
    i.reminder_due = now.mono + (urgent ? kRemind : kRemindSlowly);
    if (in_storm) continue;
    send(urgent && i.reminders++ == 0 ? NoticeKind::Escalated : NoticeKind::Reminder, i, now);
  }
}

}  // namespace katana::watchdog
