#include "watchdog/incident/symptoms.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "watchdog/incident/judge.hpp"
#include "watchdog/incident/words.hpp"

namespace katana::watchdog {
namespace {

constexpr const char* kOurs = "watchdog";
constexpr std::array kOfAProcess{"telegram-backlog:", "poll:", "oldest-wait:"};
constexpr std::string_view kDisk = "disk:";
constexpr std::string_view kErrors = "provider-errors:";
constexpr std::string_view kCertificate = "certificate:";
constexpr std::string_view kSkew = "clock-skew:";

std::string bytes_of(std::uint64_t n) {
  if (n >= 10'000'000'000) return std::to_string(n / 1'000'000'000) + " GB";
  return std::to_string(n / 1'000'000) + " MB";
}

std::string days_of(std::chrono::hours left) {
  return left.count() < 48 ? std::to_string(left.count()) + " h"
                           : std::to_string(left.count() / 24) + " days";
}

Millis millis(std::uint64_t ms) {
  return Millis{static_cast<std::int64_t>(std::min<std::uint64_t>(ms, 1ULL << 52))};
}

/// What both kinds of a process's symptoms have in common.
Report about(std::string_view kind, const bus::Heartbeat& beat, Severity severity) {
  Report report;
  report.key = std::string(kind) + beat.instance;
  report.severity = severity;
  report.component = beat.component;
  report.where = report.process = beat.instance;
  report.host = beat.host;
  report.last_error = line_of(beat.last_error);
  return report;
}

/// Of a small disk so many bytes are much, and more than all of it may never be free: at most two and a half
/// times the part counts.
std::uint64_t small(std::uint64_t total_bytes, double part) {
  return static_cast<std::uint64_t>(2.5 * part * static_cast<double>(total_bytes));
}

}  // namespace

Symptoms::Symptoms(Book& book, const Roster& roster, std::string host, Now now, SymptomLimits limits)
    : book_(book), roster_(roster), host_(std::move(host)), limits_(limits), started_(now.mono) {}

bool Symptoms::told_already(const std::string& instance) const {
  return book_.is_open("process:" + instance) || book_.is_open("health:" + instance);
}

bool Symptoms::critical(const std::string& key) const {
  const auto it = book_.open_incidents().find(key);
  return it != book_.open_incidents().end() && it->second.report.severity == Severity::Critical;
}

/// What is open stays open; nothing new about a process of which something worse is told.
void Symptoms::open(Report report, Now now) {
  if (!book_.is_open(report.key) && told_already(report.where)) return;
  book_.open(std::move(report), now);
}

// ---- what comes in ----

Symptoms::Subject& Symptoms::subject(const bus::Heartbeat& beat) {
  Subject& s = subjects_[beat.instance];
  s.component = beat.component;
  s.host = beat.host;
  return s;
}

void Symptoms::beat(const bus::Heartbeat& beat, Now now) {
  clock(beat, now);
  if (beat.state != bus::ServiceState::Ready) return;
  const bool known = subjects_.contains(beat.instance);
  Subject& s = subject(beat);
  requests(beat, s, !known, now);
  if (std::exchange(s.process_id, beat.process_id) != beat.process_id) s.reading = s.high_readings = 0;
  if (beat.component == "gateway") {
    poll(beat, now);
    backlog(beat, s, now);
    oldest_wait(beat, now);
  }
  s.disk_total = beat.disk_total_bytes;
  if (beat.disk_total_bytes != 0)
    disk(about("disk:", beat, Severity::Warning), beat.disk_free_bytes, beat.disk_total_bytes, now);
  // A process that has just started has met nobody yet.
  if (!beat.certificate_endpoint.empty()) s.certificate_told = now.mono;
  if (beat.certificate_endpoint.empty() && now.mono - s.certificate_told < limits_.settle) return;
  if (s.endpoint == beat.certificate_endpoint && s.expires == beat.certificate_expires) return;
  s.endpoint = beat.certificate_endpoint;
  s.expires = beat.certificate_expires;
  certificates(now);
}

void Symptoms::changed(const Change& change, Now now) {
  if (change.to == State::Down || change.to == State::Starting) end(change.instance, now);
}

/// Its process is gone, or is another one: nothing is known of what it did. What it stood on, its disk and
/// its endpoint's certificate, is no better for that; its successor will tell.
void Symptoms::end(const std::string& instance, Now now) {
  for (const char* kind : kOfAProcess)
    book_.resolve(kind + instance, now);
  const auto it = subjects_.find(instance);
  if (it == subjects_.end()) return;
  it->second.reading = it->second.high_readings = 0;
}

/// Nobody took its place in time.
bool Symptoms::gone_for_long(const std::string& instance, Now now) const {
  if (instance == kOurs) return false;
  const Member* m = roster_.find(instance);
  return !m || (m->state == State::Down && now.mono - m->since >= limits_.settle);
}

void Symptoms::tick(Now now) {
  for (auto& [name, provider] : providers_)
    judge_provider(name, provider, now);
  certificates(now);
  sweep(now);
}

/// Whether a process of that host lives.
bool Symptoms::heard(const std::string& host) const {
  return std::any_of(roster_.members().begin(), roster_.members().end(), [&](const auto& m) {
    return m.second.beat && m.second.state != State::Down && m.second.beat->host == host;
  });
}

/// What nobody reports any more: an earlier watchdog opened it, or its process is forgotten.
void Symptoms::sweep(Now now) {
  if (now.mono - started_ < limits_.settle) return;
  std::erase_if(subjects_, [&](const auto& s) { return gone_for_long(s.first, now); });
  std::vector<std::string> over;
  for (const auto& [key, incident] : book_.open_incidents()) {
    const auto gone = [&](const std::string& instance) {
      const Member* m = roster_.find(instance);
      return instance != kOurs && (!m || m->state == State::Down || !m->beat);
    };
    for (const char* kind : kOfAProcess)
      if (key.starts_with(kind) && gone(incident.report.where)) over.push_back(key);
    if (key.starts_with(kDisk) && gone_for_long(incident.report.where, now)) over.push_back(key);
    if (key.starts_with(kErrors) && now.mono - started_ >= limits_.errors_window &&
        !providers_.contains(key.substr(kErrors.size())))
      over.push_back(key);
    if (key.starts_with(kSkew) && !heard(key.substr(kSkew.size()))) over.push_back(key);
  }
  std::erase_if(clocks_, [&](const auto& c) { return !heard(c.first); });
  for (const std::string& key : over)
    book_.resolve(key, now);
}

// ---- Telegram ----

void Symptoms::poll(const bus::Heartbeat& beat, Now now) {
  const Millis since = millis(beat.since_poll_ms);
  Report report = about("poll:", beat, Severity::Critical);
  if (since <= limits_.poll_over) return book_.resolve(report.key, now);
  if (since <= limits_.poll && !book_.is_open(report.key)) return;
  report.title = beat.instance + ": nothing has come from Telegram for " + human(since);
  report.effect = "new questions wait at Telegram, which keeps them for 24 hours";
  open(std::move(report), now);
}

/// One reading counts once, however many beats repeat it.
void Symptoms::backlog(const bus::Heartbeat& beat, Subject& s, Now now) {
  if (beat.pending_readings == 0 || std::exchange(s.reading, beat.pending_readings) == beat.pending_readings)
    return;
  Report report = about("telegram-backlog:", beat, Severity::Warning);
  const bool polls = beat.healthy && millis(beat.since_poll_ms) <= limits_.poll;
  if (beat.pending_updates <= limits_.backlog_over) book_.resolve(report.key, now);
  s.high_readings = polls && beat.pending_updates > limits_.backlog ? s.high_readings + 1 : 0;
  if (s.high_readings < limits_.backlog_readings) return;
  report.title =
      beat.instance + " polls, but " + std::to_string(beat.pending_updates) + " updates wait at Telegram";
  report.effect = "new questions are taken late";
  open(std::move(report), now);
}

void Symptoms::oldest_wait(const bus::Heartbeat& beat, Now now) {
  const Millis wait = millis(beat.oldest_wait_ms);
  const std::string key = "oldest-wait:" + beat.instance;
  if (wait <= limits_.wait_over) return book_.resolve(key, now);
  const bool worst = wait > limits_.wait_critical || critical(key);
  if (!book_.is_open(key) && !worst && (wait <= limits_.wait || beat.queue == 0)) return;
  Report report = about("oldest-wait:", beat, worst ? Severity::Critical : Severity::Warning);
  report.title = beat.instance + ": the oldest question has waited for " + human(wait) + " without an answer";
  report.effect = "answers come late";
  open(std::move(report), now);
}

// ---- providers ----

/// Adds what ended since the process's last beat. A process that we meet for the first time has a past that
/// is none of this window's.
void Symptoms::requests(const bus::Heartbeat& beat, Subject& s, bool fresh, Now now) {
  const bool another = s.process_id != beat.process_id;
  const bool counted_back = beat.requests < s.requests || beat.failed_requests < s.failed;
  const std::uint64_t before = another ? 0 : s.requests;
  const std::uint64_t failed_before = another ? 0 : s.failed;
  s.requests = beat.requests;
  s.failed = beat.failed_requests;
  if (fresh || (!another && counted_back) || beat.requests == before) return;
  Provider& p = providers_[beat.component];
  if (p.window.empty() || now.mono - p.window.back().since >= limits_.errors_step)
    p.window.push_back({.since = now.mono});
  p.window.back().requests += beat.requests - before;
  p.window.back().failed += beat.failed_requests - failed_before;
  if (beat.failed_requests > failed_before) p.last_error = line_of(beat.last_error);
  judge_provider(beat.component, p, now);
}

void Symptoms::judge_provider(const std::string& name, Provider& p, Now now) {
  while (!p.window.empty() && now.mono - p.window.front().since >= limits_.errors_window)
    p.window.pop_front();
  std::uint64_t requests = 0, failed = 0;
  for (const Sum& sum : p.window) {
    requests += sum.requests;
    failed += sum.failed;
  }
  const std::string key = std::string(kErrors) + name;
  const double share = requests == 0 ? 0 : static_cast<double>(failed) / static_cast<double>(requests);
  if (book_.is_open(key)) {
    // The window of a watchdog that has just started is empty for another reason.
    const bool whole = now.mono - started_ >= limits_.errors_window;
    if (requests == 0 ? whole : share < limits_.errors_over && (whole || requests >= limits_.errors_least))
      book_.resolve(key, now);
    return;
  }
  if (requests < limits_.errors_least || share < limits_.errors) return;
  Report report;
  report.key = key;
  report.severity = Severity::Critical;
  report.component = report.where = name;
  report.title = name + ": " + std::to_string(failed) + " of the last " + std::to_string(requests) +
                 " requests to the provider failed, within " +
                 human(std::chrono::duration_cast<Millis>(limits_.errors_window));
  report.effect = "questions to this provider fail or wait, or another one answers";
  report.last_error = p.last_error;
  for (const auto& [instance, m] : roster_.members())  // which says that all its calls fail
    if (m.component == name && book_.is_open("health:" + instance)) report.cause = "health:" + instance;
  book_.open(std::move(report), now);
}

// ---- what it stands on ----

void Symptoms::disk(const Report& about, std::uint64_t free_bytes, std::uint64_t total_bytes, Now now) {
  const auto below = [&](double part, std::uint64_t bytes, bool already) {
    const double air = already ? limits_.disk_air : 1.0;
    return static_cast<double>(free_bytes) < part * air * static_cast<double>(total_bytes) ||
           static_cast<double>(free_bytes) <
               air * static_cast<double>(std::min(bytes, small(total_bytes, part)));
  };
  const bool worst = below(limits_.disk_critical, limits_.disk_bytes_critical, critical(about.key));
  if (!worst && !below(limits_.disk, limits_.disk_bytes, book_.is_open(about.key)))
    return book_.resolve(about.key, now);
  Report report = about;
  report.severity = worst ? Severity::Critical : Severity::Warning;
  report.title = report.where + ": its disk is nearly full: " + bytes_of(free_bytes) + " of " +
                 bytes_of(total_bytes) + " free";
  report.effect = report.component == "gateway"
                      ? "none yet; when it is full no message is taken, and Telegram keeps them"
                      : "none yet; when it is full, alerts no longer survive a restart";
  open(std::move(report), now);
}

void Symptoms::own_disk(std::uint64_t free_bytes, std::uint64_t total_bytes, Now now) {
  if (total_bytes == 0) return;
  Report report;
  report.key = std::string("disk:") + kOurs;
  report.component = report.where = kOurs;
  // Of one disk it is said once.
  for (const auto& [instance, s] : subjects_)
    if (s.host == host_ && s.disk_total == total_bytes) report.cause = "disk:" + instance;
  disk(report, free_bytes, total_bytes, now);
}

void Symptoms::own_certificate(const std::string& endpoint, Wall expires, Now now) {
  Subject& s = subjects_[kOurs];
  s.component = kOurs;
  s.endpoint = endpoint;
  s.expires = expires;
  certificates(now);
}

/// Several processes may talk to one endpoint; after a renewal the one that connected last is right.
void Symptoms::certificates(Now now) {
  std::map<std::string, Wall> latest;
  for (const auto& [instance, s] : subjects_) {
    if (s.endpoint.empty()) continue;
    const auto [it, fresh] = latest.try_emplace(s.endpoint, s.expires);
    if (!fresh) it->second = std::max(it->second, s.expires);
  }
  for (const auto& [endpoint, expires] : latest) {
    const std::string key = std::string(kCertificate) + endpoint;
    const auto left = std::chrono::duration_cast<std::chrono::hours>(expires - now.wall);
    if (left >= (book_.is_open(key) ? limits_.certificate_over : limits_.certificate)) {
      book_.resolve(key, now);
      continue;
    }
    Report report;
    report.key = key;
    report.severity = left < limits_.certificate_critical ? Severity::Critical : Severity::Warning;
    report.component = "certificate";
    report.where = line_of(endpoint);
    report.title = "the certificate of " + report.where +
                   (expires <= now.wall ? " has expired" : " expires in " + days_of(left));
    report.effect = expires <= now.wall ? "nothing gets there or comes from there any more"
                                        : "none yet; from then on nothing gets there or comes from there";
    book_.open(std::move(report), now);
  }
  if (now.mono - started_ < limits_.settle) return;
  std::vector<std::string> over;
  for (const auto& [key, incident] : book_.open_incidents())
    if (key.starts_with(kCertificate) && !latest.contains(key.substr(kCertificate.size())))
      over.push_back(key);
  for (const std::string& key : over)
    book_.resolve(key, now);
}

/// Beats that are read in one go waited for us: their age says nothing of their sender's clock.
void Symptoms::clock(const bus::Heartbeat& beat, Now now) {
  if (beat.host == host_ || beat.host.empty()) return;
  Clock& c = clocks_[beat.host];
  if (c.counted != Mono{} && now.mono - c.counted < limits_.skew_apart) return;
  c.counted = now.mono;
  const auto off = std::chrono::duration_cast<Millis>(beat.sent_at - now.wall);
  const std::string key = std::string(kSkew) + beat.host;
  if (std::chrono::abs(off) < limits_.skew_over) book_.resolve(key, now);
  c.ahead_or_behind = std::chrono::abs(off) > limits_.skew ? c.ahead_or_behind + 1 : 0;
  if (c.ahead_or_behind < limits_.skew_beats) return;
  Report report;
  report.key = key;
  report.component = "host";
  report.where = report.host = beat.host;
  report.title = "the clock of host " + line_of(beat.host) + " is " + human(std::chrono::abs(off)) +
                 (off > Millis{0} ? " ahead of" : " behind") + " the watchdog's";
  report.effect = "none yet; ages and times of messages are wrong, and certificates may be refused";
  book_.open(std::move(report), now);
}

}  // namespace katana::watchdog
