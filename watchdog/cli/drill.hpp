#pragma once

#include <string>

namespace katana::watchdog {

/// `katana drill`: waits for a question that a worker is at, announces in every alert channel what is going
/// to happen, kills that worker, and prints what followed and when: the page, the worker's return, the
/// resolution, the answer. The exit status: 0 if all of it came within two minutes.
int run_drill(const std::string& run_dir);

}  // namespace katana::watchdog
