#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace katana::watchdog {

/// One process's metrics as it published them.
struct Exposition {
  std::string component;
  std::string instance;
  std::string text;  ///< Prometheus text format
};

/// All processes' metrics as one target: every sample gets the labels `component` and `instance`, and every
/// family its HELP and TYPE once, with the samples of all processes below. A line that isn't of the format is
/// left out, and so are a process's samples of a family that another one published with a different type.
std::string merge(const std::vector<Exposition>& all);

}  // namespace katana::watchdog
