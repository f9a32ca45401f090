#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.hpp"
#include "common/core/secret.hpp"

namespace katana::bus {

/// A CURVE key in text: 40 characters of Z85, as it stands in its file.
inline constexpr std::size_t kKeyCharacters = 40;

/// One party's pair.
struct KeyPair {
  std::string public_key;
  Secret secret_key;
};

/// `NAME.public` and `NAME.secret` of `directory`. A secret that others can read is refused; under
/// /run/secrets and /run/credentials, where the mounting decides, it is only warned of.
/// `secrets`, if given, is where `NAME.secret` lies instead, if it is there.
Result<KeyPair> read_pair(const std::filesystem::path& directory, std::string_view name,
                          const std::filesystem::path& secrets = {});
Result<std::string> read_public(const std::filesystem::path& directory, std::string_view name);

/// The pair that a process shows when it connects: the first that may be read of the worker's,
/// the gateway's and the watchdog's.
Result<KeyPair> read_client_pair(const std::filesystem::path& directory,
                                 const std::filesystem::path& secrets = {});

/// Public key -> name of its file in `authorized/` (at most 4096 of them, each `*.public`).
Result<std::map<std::string, std::string>> read_authorized(const std::filesystem::path& directory);

/// See ZmqBus::make_keys, ZmqBus::make_worker_keys.
Result<std::vector<std::string>> make_keys(const std::filesystem::path& directory);
Result<std::string> make_worker_keys(const std::filesystem::path& directory, const std::string& name);

}  // namespace katana::bus
