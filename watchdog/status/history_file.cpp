// History as JSON: for the page, and from one process to the next.
#include <charconv>
#include <cmath>

#include <simdjson.h>

#include "common/core/json_writer.hpp"
#include "watchdog/status/history.hpp"

namespace katana::watchdog {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kRing = History::kPoints + 1;
constexpr float kGap = std::numeric_limits<float>::quiet_NaN();
constexpr std::array<const char*, History::kSpans> kSpanNames{"1h", "24h"};
constexpr std::array<const char*, History::kSeries> kNames{"waiting",
                                                           "under_way",
                                                           "oldest_wait_s",
                                                           "messages_per_min",
                                                           "first_text_p50_s",
                                                           "first_text_p99_s",
                                                           "answer_p50_s",
                                                           "answer_p99_s",
                                                           "errors_per_min",
                                                           "tokens",
                                                           "usd"};

std::int64_t step_ms(History::Span span) {
  return std::chrono::duration_cast<Millis>(History::kSteps[span]).count();
}

/// Shortest text that gives the same number again.
void append(std::string& out, float value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// `"name":[…]`: the points that ended before `slot`.
void append(std::string& out, const char* name, const std::vector<float>& track, std::int64_t slot,
            std::size_t points) {
  out.append("\"").append(name).append("\":[");
  for (std::int64_t i = slot - static_cast<std::int64_t>(points); i < slot; ++i) {
    append(out, track.empty() || i < 0 ? kGap : track[static_cast<std::size_t>(i) % kRing]);
    out += ',';
  }
  if (out.back() == ',') out.pop_back();
  out += ']';
}

std::string quoted(const std::string& text) {
  JsonWriter writer(text.size() + 2);
  return writer.value(text).take();
}

tl::unexpected<Error> damaged(const char* what) {
  return fail(Code::Malformed, std::string("histories: '") + what + "' is missing or of the wrong type");
}

/// A track as `append` wrote it, whose last point ended at `slot`; no point of `until` or later is taken.
Result<std::vector<float>> read_track(object from, const char* name, std::int64_t slot, std::int64_t until) {
  array values;
  if (from[name].get(values) != simdjson::SUCCESS || values.size() > History::kPoints) return damaged(name);
  std::vector<float> track(kRing, kGap);
  std::int64_t at = slot - static_cast<std::int64_t>(values.size());
  for (const element value : values) {
    double number = 0;
    const bool gap = value.is_null();
    if (!gap && value.get(number) != simdjson::SUCCESS) return damaged(name);
    if (!gap && at >= 0 && at < until && at > until - static_cast<std::int64_t>(kRing))
      track[static_cast<std::size_t>(at) % kRing] = static_cast<float>(number);
    ++at;
  }
  return track;
}

}  // namespace

std::string History::json_of(Span span, std::size_t points) const {
  const SpanState& s = spans_[span];
  const std::int64_t step = step_ms(span);
  std::string out =
      std::string("{\"span\":\"") + kSpanNames[span] + "\",\"step_ms\":" + std::to_string(step) +
      ",\"end_ms\":" + std::to_string(s.slot * step) + ",\"day_budget\":{" + budget() + "},\"series\":{";
  for (std::size_t i = 0; i < kSeries; ++i) {
    append(out, kNames[i], s.tracks[i], s.slot, points);
    out += i + 1 < kSeries ? "," : "},\"processes\":{";
  }
  for (const auto& [name, p] : processes_) {
    out += quoted(name) + ":{";
    append(out, "memory", p.vitals[span].memory, s.slot, points);
    out += ',';
    append(out, "cpu", p.vitals[span].cpu, s.slot, points);
    out += "},";
  }
  if (out.back() == ',') out.pop_back();
  return out + "}}";
}

/// By the series that it bounds.
std::string History::budget() const {
  std::string out;
  const auto add = [&](const char* series, const std::optional<double>& amount) {
    if (!amount) return;
    out.append(out.empty() ? "\"" : ",\"").append(series).append("\":");
    append(out, static_cast<float>(*amount));
  };
  add("tokens", day_tokens_);
  add("usd", day_usd_);
  return out;
}

std::string History::dump() const {
  return "{\"version\":" + std::to_string(kVersion) + ",\"spans\":[" + to_json(Hour) + "," + to_json(Day) +
         "]}\n";
}

Result<void> History::restore(std::string_view json, Now now) {
  simdjson::dom::parser parser;
  object top;
  std::int64_t version = 0;
  array spans;
  if (parser.parse(json.data(), json.size()).get(top) != simdjson::SUCCESS)
    return fail(Code::Malformed, "histories: no JSON object");
  if (top["version"].get(version) != simdjson::SUCCESS || version != kVersion) return damaged("version");
  if (top["spans"].get(spans) != simdjson::SUCCESS || spans.size() != kSpans) return damaged("spans");
  History fresh;
  fresh.advance(now.wall);
  std::size_t next = 0;
  for (const element entry : spans) {
    const auto span = static_cast<Span>(next++);
    object from, series, processes;
    std::int64_t step = 0, end = 0;
    if (entry["step_ms"].get(step) != simdjson::SUCCESS || step != step_ms(span)) return damaged("step_ms");
    if (entry["end_ms"].get(end) != simdjson::SUCCESS || end < 0) return damaged("end_ms");
    if (entry["series"].get(series) != simdjson::SUCCESS) return damaged("series");
    if (entry["processes"].get(processes) != simdjson::SUCCESS || processes.size() > kProcesses)
      return damaged("processes");
    SpanState& s = fresh.spans_[span];
    for (std::size_t i = 0; i < kSeries; ++i) {
      auto track = read_track(series, kNames[i], end / step, s.slot);
      if (!track) return fail(track.error());
      s.tracks[i] = std::move(*track);
    }
    for (const auto& [name, value] : processes) {
      object tracks;
      if (value.get(tracks) != simdjson::SUCCESS) return damaged("processes");
      auto memory = read_track(tracks, "memory", end / step, s.slot);
      auto cpu = read_track(tracks, "cpu", end / step, s.slot);
      if (!memory || !cpu) return damaged("processes");
      Process* const known = fresh.process(std::string(name), false);
      if (known == nullptr) continue;
      Process& p = *known;
      p.vitals[span] = {std::move(*memory), std::move(*cpu)};
      p.fed = fresh.spans_[Day].slot;
    }
  }
  *this = std::move(fresh);
  return {};
}

}  // namespace katana::watchdog
