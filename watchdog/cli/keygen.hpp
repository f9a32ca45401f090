#pragma once

#include <string>

namespace katana::watchdog {

/// `katana keygen`: a deployment's keys in a new `directory`, or, with `worker`, one more worker's in a
/// folder of that name. `installed`: for the Debian package, whose units' users read public keys in
/// /etc/katana/keys, and get secret ones from systemd; `directory` is then not looked at. The exit status.
int run_keygen(const std::string& directory, const std::string& worker, bool installed);

}  // namespace katana::watchdog
