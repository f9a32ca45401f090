#pragma once

#include <string>
#include <vector>

#include "watchdog/channels/delivery.hpp"
#include "watchdog/incident/book.hpp"
#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

/// What `/api/status`, the page and `katana status` show; a view of the moment.
struct Snapshot {
  Now now;
  std::string host;
  bool supervising = false;
  const Roster* roster = nullptr;
  const Book* book = nullptr;
  std::map<std::string, int> expect;
  std::vector<Delivery::Status> channels;
};

/// No user's words are in it.
std::string to_json(const Snapshot& snapshot);

/// Nothing is wrong: no open incident of severity critical.
bool healthy(const Snapshot& snapshot);

/// Our own series, and whether each process is up, in Prometheus text.
std::string own_metrics(const Snapshot& snapshot);

}  // namespace katana::watchdog
