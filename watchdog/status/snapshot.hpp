#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/net/certificates.hpp"
#include "watchdog/channels/delivery.hpp"
#include "watchdog/duty/dead_man.hpp"
#include "watchdog/incident/book.hpp"
#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

class History;

/// What a supervised process wrote last before it ended. People's words may be in it: for the incident view
/// behind the token alone.
struct LastWords {
  std::vector<std::string> lines{};
  Wall at{};
  bool whole = false;  ///< its end has been told, and no line is missing
};

/// What `/api/status`, the page and `katana status` show; a view of the moment.
struct Snapshot {
  Now now;
  std::string host;
  bool supervising = false;
  const Roster* roster = nullptr;
  const Book* book = nullptr;
  std::map<std::string, int> expect;
  std::vector<Delivery::Status> channels;
  std::optional<DeadMan::Status> dead_man{};  ///< unset: no URL is
  const std::map<std::string, LastWords>* last_words = nullptr;
  const History* history = nullptr;
  std::optional<net::Certificate>
      certificate{};      ///< of those that the watchdog itself met, the first to expire
  bool lockable = false;  ///< a token is set: whoever has it can do more than look
};

/// No user's words are in it. `past`: with the incidents that are over.
std::string to_json(const Snapshot& snapshot, bool past = true);
/// The incidents that are over, newest first, as a JSON array.
std::string past_json(const Snapshot& snapshot);

/// Nothing is wrong: no open incident of severity critical.
bool healthy(const Snapshot& snapshot);

/// Our own series, and whether each process is up, in Prometheus text.
std::string own_metrics(const Snapshot& snapshot);

}  // namespace katana::watchdog
