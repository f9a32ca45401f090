#include "watchdog/status/history.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace katana::watchdog {
namespace {

constexpr std::size_t kRing = History::kPoints + 1;  // and the point under way
constexpr float kGap = std::numeric_limits<float>::quiet_NaN();
constexpr Millis kMissedTick{1'500};

void put(std::vector<float>& track, std::int64_t slot, float value) {
  if (track.empty()) track.assign(kRing, kGap);
  track[static_cast<std::size_t>(slot) % kRing] = value;
}

void most(std::optional<double>& of, double value) {
  of = std::max(of.value_or(0), value);
}

void add(std::optional<double>& to, const std::optional<double>& more) {
  if (more) to = to.value_or(0) + *more;
}

float as_point(const std::optional<double>& value) {
  return value ? static_cast<float>(*value) : kGap;
}

char letter(State state, bool heard) {
  constexpr std::string_view kLetters = "nsulhxd";
  static_assert(kLetters.size() == kStates);
  const char c = kLetters[static_cast<std::size_t>(state)];
  return heard ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
}

}  // namespace

std::optional<History::Span> History::span_of(std::string_view name) {
  if (name == "1h") return Hour;
  if (name == "24h") return Day;
  return std::nullopt;
}

/// The one that was quiet for the longest makes room. Among those that all live nobody does, but for a
/// gateway: what it counts is everybody's.
History::Process* History::process(const std::string& instance, bool gateway) {
  if (const auto it = processes_.find(instance); it != processes_.end()) return &it->second;
  if (processes_.size() >= kProcesses) {
    const auto rank = [](const auto& p) { return std::pair(p.second.figures.has_value(), p.second.fed); };
    const auto last = std::min_element(processes_.begin(), processes_.end(),
                                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    const bool lives = last->second.fed + 1 >= spans_[Day].slot;
    if (lives && !gateway) return nullptr;
    processes_.erase(last);
  }
  return &processes_[instance];
}

void History::beat(const bus::Heartbeat& beat, Now now) {
  advance(now.wall);
  Process* const known = process(beat.instance, beat.component == "gateway");
  if (known == nullptr) return;
  Process& p = *known;
  p.heard = true;
  p.fed = spans_[Day].slot;
  const bool same = p.id == beat.process_id && beat.uptime_ms > p.uptime_ms && beat.cpu_ms >= p.cpu_ms;
  for (auto& v : p.vitals) {
    v.most_memory = std::max(v.most_memory, beat.rss_bytes);
    if (!same) continue;
    v.cpu_ms += beat.cpu_ms - p.cpu_ms;
    v.uptime_ms += static_cast<std::uint64_t>(beat.uptime_ms - p.uptime_ms);
  }
  if (p.id != beat.process_id) p.figures.reset();
  p.id = beat.process_id;
  p.cpu_ms = beat.cpu_ms;
  p.uptime_ms = beat.uptime_ms;
  if (beat.component == "gateway")
    for (auto& span : spans_) {
      const auto at_work = std::min(beat.questions_at_work, beat.open_questions);
      most(span.gathered.sums[Waiting], static_cast<double>(beat.open_questions - at_work));
      most(span.gathered.sums[UnderWay], static_cast<double>(at_work));
      most(span.gathered.sums[OldestWait], static_cast<double>(beat.oldest_wait_ms) / 1000);
    }
  // Everything else is counted by the gateway; a worker's text has nothing of it.
  if (beat.metrics.empty() || beat.component != "gateway") return;
  Figures figures = read_figures(beat.metrics);
  day_tokens_ = figures.day_tokens;
  day_usd_ = figures.day_usd;
  if (p.figures && beat.uptime_ms > p.figures_uptime_ms)
    count(between(*p.figures, figures), static_cast<double>(beat.uptime_ms - p.figures_uptime_ms) / 1000);
  p.figures = std::move(figures);
  p.figures_uptime_ms = beat.uptime_ms;
}

void History::count(const Figures& increase, double seconds) {
  for (auto& span : spans_) {
    Gathered& g = span.gathered;
    g.covered_s += seconds;
    add(g.sums[Messages], increase.counters[Figures::Questions]);
    add(g.sums[Errors], increase.counters[Figures::Errors]);
    add(g.sums[Tokens], increase.counters[Figures::Tokens]);
    add(g.sums[Usd], increase.counters[Figures::Usd]);
    for (std::size_t i = 0; i < Figures::kTimings; ++i)
      watchdog::add(g.timings[i], increase.timings[i]);
  }
}

void History::tick(const Roster& roster, Now now) {
  advance(now.wall);
  std::size_t missed = 0;
  if (last_tick_ && now.mono - *last_tick_ > kMissedTick) {
    const auto late = std::chrono::duration_cast<Seconds>(now.mono - *last_tick_).count();
    missed = static_cast<std::size_t>(std::min<std::int64_t>(late - 1, kBeats));
  }
  last_tick_ = now.mono;
  for (const auto& [name, m] : roster.members()) {
    Process* const known = process(name, m.component == "gateway");
    if (known == nullptr) continue;
    Process& p = *known;
    p.fed = spans_[Day].slot;
    p.beats.append(missed, '.') += letter(m.state, std::exchange(p.heard, false));
    if (p.beats.size() > kBeats) p.beats.erase(0, p.beats.size() - kBeats);
  }
  std::erase_if(processes_, [&](const auto& entry) {
    return entry.second.fed + static_cast<std::int64_t>(kPoints) < spans_[Day].slot;
  });
}

std::string History::beats(const std::string& instance) const {
  const auto it = processes_.find(instance);
  return it == processes_.end() ? std::string() : it->second.beats;
}

void History::advance(Wall now) {
  const auto ms = std::max<std::int64_t>(to_unix_ms(now), 0);
  for (const Span span : {Hour, Day})
    move_to(span, ms / std::chrono::duration_cast<Millis>(kSteps[span]).count());
}

/// The point under way is over, and what nobody saw until `slot` is a gap. A clock that was set back takes
/// the points of its future with it.
void History::move_to(Span span, std::int64_t slot) {
  SpanState& s = spans_[span];
  if (slot == s.slot) return;
  const std::int64_t former = std::exchange(s.slot, slot);
  const auto ring = static_cast<std::int64_t>(kRing);
  if (slot > former && former != 0) {
    s.slot = former;
    close(span);
    s.slot = slot;
  }
  const std::int64_t from = slot > former ? former + 1 : slot, to = slot > former ? slot : former;
  for (std::int64_t i = std::max(from, to - ring + 1); i <= to; ++i)
    set_all(span, i, kGap);
  s.gathered = {};
  for (auto& [name, p] : processes_) {
    Vitals& v = p.vitals[span];
    v.most_memory = v.cpu_ms = v.uptime_ms = 0;
  }
}

void History::set_all(Span span, std::int64_t slot, float value) {
  for (Track& track : spans_[span].tracks)
    put(track, slot, value);
  for (auto& [name, p] : processes_) {
    put(p.vitals[span].memory, slot, value);
    put(p.vitals[span].cpu, slot, value);
  }
}

void History::close(Span span) {
  SpanState& s = spans_[span];
  Gathered& g = s.gathered;
  for (const Series rate : {Messages, Errors})
    if (g.sums[rate] && g.covered_s > 0) g.sums[rate] = *g.sums[rate] * 60 / g.covered_s;
  g.sums[FirstTextP50] = percentile(g.timings[Figures::FirstText], 0.50);
  g.sums[FirstTextP99] = percentile(g.timings[Figures::FirstText], 0.99);
  g.sums[AnswerP50] = percentile(g.timings[Figures::Answer], 0.50);
  g.sums[AnswerP99] = percentile(g.timings[Figures::Answer], 0.99);
  for (std::size_t i = 0; i < kSeries; ++i)
    put(s.tracks[i], s.slot, as_point(g.sums[i]));
  for (auto& [name, p] : processes_) {
    Vitals& v = p.vitals[span];
    put(v.memory, s.slot, v.most_memory > 0 ? static_cast<float>(v.most_memory) : kGap);
    put(v.cpu, s.slot,
        v.uptime_ms > 0 ? static_cast<float>(v.cpu_ms) / static_cast<float>(v.uptime_ms) : kGap);
  }
}

}  // namespace katana::watchdog
