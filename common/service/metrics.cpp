#include "common/service/metrics.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace katana::service {
namespace {

bool word(std::string_view text) {
  return !text.empty() && text.front() >= 'a' && text.front() <= 'z' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw std::invalid_argument("metric " + name + ": " + why);
}

void check_name(const std::string& name, const std::string& help, bool counter) {
  if (!name.starts_with("katana_") || !word(name)) refuse(name, "must be katana_ and lower-case words");
  if (name.ends_with("_total") != counter) refuse(name, "_total ends counters, and counters alone");
  for (const std::string_view unit : {"_ms", "_milliseconds", "_minutes", "_kb", "_mb", "_percent"}) {
    const auto stem = counter ? name.substr(0, name.size() - 6) : name;
    if (stem.ends_with(unit)) refuse(name, "use seconds, bytes or ratio as units");
  }
  for (const std::string_view end : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(end)) refuse(name, "ends like a part of a histogram");
  }
  if (help.empty()) refuse(name, "has no help");
}

prometheus::Labels checked(const std::string& name, Labels labels) {
  static constexpr std::array<std::string_view, 6> kForbidden{"le",      "quantile", "user",
                                                              "user_id", "chat",     "chat_id"};
  prometheus::Labels out;
  for (const auto& [label, value] : labels) {
    if (!word(label) || std::find(kForbidden.begin(), kForbidden.end(), label) != kForbidden.end()) {
      refuse(name, "may not have the label " + label);
    }
    out.emplace(label, value);
  }
  return out;
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, Labels labels) {
  check_name(name, help, true);
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry);
  return Counter{&family.Add(checked(name, labels))};
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, Labels labels) {
  check_name(name, help, false);
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry);
  return Gauge{&family.Add(checked(name, labels))};
}

Histogram Metrics::histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                             Labels labels) {
  check_name(name, help, false);
  if (bounds.empty() ||
      std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) != bounds.end()) {
    refuse(name, "needs rising bounds");
  }
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  return Histogram{
      &family.Add(checked(name, labels), prometheus::Histogram::BucketBoundaries(std::move(bounds)))};
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

void Counter::add(double n) {
  if (impl != nullptr) static_cast<prometheus::Counter*>(impl)->Increment(n);
}
void Gauge::set(double v) {
  if (impl != nullptr) static_cast<prometheus::Gauge*>(impl)->Set(v);
}
void Histogram::observe(double v) {
  if (impl != nullptr) static_cast<prometheus::Histogram*>(impl)->Observe(v);
}

}  // namespace katana::service
