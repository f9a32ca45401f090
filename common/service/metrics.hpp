#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace katana::service {

using Labels = std::initializer_list<std::pair<std::string, std::string>>;

/// Handles to one time series; cheap to keep and to use on the hot path (a few nanoseconds). Valid as long as
/// their Metrics; one that was never given a series does nothing.
class Counter {
 public:
  void add(double n = 1);
  void* impl = nullptr;
};
class Gauge {
 public:
  void set(double v);
  void* impl = nullptr;
};
class Histogram {
 public:
  void observe(double v);
  void* impl = nullptr;
};

/// The metrics of a process in Prometheus's conventions (names begin with `katana_`; seconds and bytes as
/// base units; no user or chat labels), over prometheus-cpp-core. Asked again for the same name and labels,
/// it gives the same series. A name against the conventions is our own mistake and throws
/// std::invalid_argument, at start. Loop thread only.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Counter counter(const std::string& name, const std::string& help, Labels labels = {});
  Gauge gauge(const std::string& name, const std::string& help, Labels labels = {});
  Histogram histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                      Labels labels = {});
  /// Prometheus text format.
  [[nodiscard]] std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::service
