#include "watchdog/incident/book.hpp"

#include <utility>

#include <nlohmann/json.hpp>
#include <simdjson.h>

namespace katana::watchdog {
namespace {

/// An incident as `dump` writes it.
nlohmann::json to_object(const Incident& i) {
  return {{"id", i.id},
          {"key", i.report.key},
          {"severity", to_string(i.report.severity)},
          {"component", i.report.component},
          {"where", i.report.where},
          {"title", i.report.title},
          {"effect", i.report.effect},
          {"last_error", i.report.last_error},
          {"restarts", i.report.restarts},
          {"except", i.report.except},
          {"opened_ms", to_unix_ms(i.opened)}};
}

/// Reads members of one object and remembers which one was missing or of the wrong type.
class Members {
 public:
  explicit Members(simdjson::dom::element object) : object_(object) {}
  std::string word(const char* name) { return std::string(take<std::string_view>(name)); }
  std::int64_t number(const char* name) { return take<std::int64_t>(name); }
  bool flag(const char* name) { return take<bool>(name); }
  simdjson::dom::element element(const char* name) { return take<simdjson::dom::element>(name); }
  simdjson::dom::array array(const char* name) { return take<simdjson::dom::array>(name); }
  [[nodiscard]] const char* bad() const { return bad_; }

 private:
  template <class T>
  T take(const char* name) {
    T value{};
    if (object_[name].get(value)) bad_ = name;
    return value;
  }
  simdjson::dom::element object_;
  const char* bad_ = nullptr;
};

tl::unexpected<Error> incomplete(const char* member) {
  return fail(Code::Malformed,
              std::string("open incidents: '") + member + "' is missing or of the wrong type");
}

Result<Incident> parse_incident(simdjson::dom::element object) {
  Members m(object);
  Incident i;
  i.id = m.word("id");
  i.report.key = m.word("key");
  i.report.severity =
      m.word("severity") == to_string(Severity::Critical) ? Severity::Critical : Severity::Warning;
  i.report.component = m.word("component");
  i.report.where = m.word("where");
  i.report.title = m.word("title");
  i.report.effect = m.word("effect");
  i.report.last_error = m.word("last_error");
  i.report.except = m.word("except");
  i.report.restarts = static_cast<int>(m.number("restarts"));
  i.opened = from_unix_ms(m.number("opened_ms"));
  if (m.bad()) return incomplete(m.bad());
  return i;
}

/// A moment of an earlier process on our clocks. The wall clock may have jumped: never later than now.
Now moment(std::int64_t unix_ms, Now now) {
  const Wall wall = from_unix_ms(unix_ms);
  const auto ago = std::max(Millis{0}, std::chrono::duration_cast<Millis>(now.wall - wall));
  return {now.mono - ago, wall};
}

}  // namespace

Book::Book(std::string host, std::function<std::string()> fresh_id, std::function<void(const Notice&)> notify)
    : host_(std::move(host)), fresh_id_(std::move(fresh_id)), notify_(std::move(notify)) {}

void Book::send(NoticeKind kind, const Incident& incident, Now now, std::string title) {
  Notice n;
  n.id = fresh_id_();
  n.incident = incident.id;
  n.kind = kind;
  n.severity = incident.report.severity;
  n.at = now.wall;
  n.host = host_;
  n.where = incident.report.where;
  n.title = std::move(title);
  if (n.title.empty()) n.title = incident.report.title;
  n.effect = kind == NoticeKind::Resolved ? "" : incident.report.effect;
  n.last_error = incident.report.last_error;
  n.restarts = incident.report.restarts;
  n.since = incident.opened;
  n.lasted_ms = incident.lasted_ms;
  n.except = incident.report.except;
  notify_(n);
}

bool Book::muted(const std::string& key, const Incident& incident, Now now) {
  Flaps& f = flaps_[key];
  f.flips.push_back(now);
  while (!f.flips.empty() && now.mono - f.flips.front().mono > kWindow)
    f.flips.pop_front();
  if (f.flapping || static_cast<int>(f.flips.size()) <= kFlips) return f.flapping;
  f.flapping = true;
  f.failures = 0;
  f.first = incident;
  f.first.opened_mono = now.mono;
  send(NoticeKind::Flapping, incident, now,
       incident.report.where + " fails again and again (" + std::to_string((f.flips.size() + 1) / 2) +
           " times in " + human(std::chrono::duration_cast<Millis>(now.mono - f.flips.front().mono)) +
           "); the next message comes when it has been well for " + human(kWindow));
  return true;
}

void Book::open(Report report, Now now) {
  const auto it = open_.find(report.key);
  if (it != open_.end()) {
    // The facts of the day; but what was told stands, so that its end is recognised.
    report.title = std::move(it->second.report.title);
    it->second.report = std::move(report);
    return;
  }
  Incident incident{fresh_id_(), std::move(report), now.wall, {}, 0, now.mono};
  ++opened_total_;
  ++revision_;
  const std::string key = incident.report.key;
  if (!muted(key, incident, now)) send(NoticeKind::Opened, incident, now);
  ++flaps_[key].failures;
  open_.emplace(key, std::move(incident));
}

void Book::resolve(const std::string& key, Now now) {
  const auto it = open_.find(key);
  if (it == open_.end()) return;
  Incident incident = std::move(it->second);
  open_.erase(it);
  ++revision_;
  incident.resolved = now.wall;
  const auto span = incident.opened_mono
                        ? std::chrono::duration_cast<Millis>(now.mono - *incident.opened_mono)
                        : std::chrono::duration_cast<Millis>(now.wall - incident.opened);
  incident.lasted_ms = std::max<std::int64_t>(0, span.count());
  // A resolution is never the flip that mutes: whoever was told of the failure is told of its end.
  const bool was_muted = flaps_[key].flapping;
  flaps_[key].flips.push_back(now);
  if (!was_muted) send(NoticeKind::Resolved, incident, now);
  history_.push_front(std::move(incident));
  if (history_.size() > kHistory) history_.pop_back();
}

void Book::tick(Now now) {
  for (auto it = flaps_.begin(); it != flaps_.end();) {
    Flaps& f = it->second;
    const bool settled =
        !is_open(it->first) && (f.flips.empty() || now.mono - f.flips.back().mono >= kWindow);
    if (!settled) {
      ++it;
      continue;
    }
    if (f.flapping) {
      f.first.lasted_ms =
          std::chrono::duration_cast<Millis>(f.flips.back().mono - *f.first.opened_mono).count();
      send(NoticeKind::Resolved, f.first, now,
           f.first.report.where + " has been well for " + human(kWindow) + ", after " +
               std::to_string(f.failures) + " more failures");
    }
    it = flaps_.erase(it);
    ++revision_;
  }
}

std::string Book::dump() const {
  nlohmann::json open = nlohmann::json::array(), flaps = nlohmann::json::array();
  for (const auto& [key, incident] : open_)
    open.push_back(to_object(incident));
  for (const auto& [key, f] : flaps_) {
    nlohmann::json j{
        {"key", key}, {"flapping", f.flapping}, {"failures", f.failures}, {"first", to_object(f.first)}};
    j["flips_ms"] = nlohmann::json::array();
    for (const Now& flip : f.flips)
      j["flips_ms"].push_back(to_unix_ms(flip.wall));
    flaps.push_back(std::move(j));
  }
  const nlohmann::json all{{"open", open}, {"flaps", flaps}};
  return all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<void> Book::restore(std::string_view json, Now now) {
  simdjson::dom::parser parser;
  simdjson::dom::element all;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(all))
    return fail(Code::Malformed, std::string("open incidents: ") + simdjson::error_message(error));
  simdjson::dom::array open, flaps;
  if (all["open"].get(open)) return incomplete("open");
  if (all["flaps"].get(flaps)) return incomplete("flaps");
  std::map<std::string, Incident> found;
  for (const auto object : open) {
    auto incident = parse_incident(object);
    if (!incident) return fail(incident.error());
    found.emplace(incident->report.key, std::move(*incident));
  }
  std::map<std::string, Flaps> flapping;
  for (const auto object : flaps) {
    Members m(object);
    Flaps f;
    const std::string key = m.word("key");
    f.flapping = m.flag("flapping");
    f.failures = static_cast<int>(m.number("failures"));
    const auto first = m.element("first");
    const auto flips = m.array("flips_ms");
    if (m.bad()) return incomplete(m.bad());
    auto incident = parse_incident(first);
    if (!incident) return fail(incident.error());
    f.first = std::move(*incident);
    f.first.opened_mono = moment(to_unix_ms(f.first.opened), now).mono;
    for (const auto flip : flips) {
      std::int64_t ms = 0;
      if (flip.get(ms)) return incomplete("flips_ms");
      f.flips.push_back(moment(ms, now));
    }
    flapping.emplace(key, std::move(f));
  }
  open_ = std::move(found);
  flaps_ = std::move(flapping);
  return {};
}

}  // namespace katana::watchdog
