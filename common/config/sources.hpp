#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "common/config/settings.hpp"
#include "common/core/result.hpp"

namespace katana::config {

struct SmallFile {
  std::string text;
  mode_t mode = 0;
};

/// Reads a regular file of at most `limit` bytes. The error names the path and the reason, never a byte of
/// it.
Result<SmallFile> read_small_file(const std::string& path, std::size_t limit);

/// True when users other than its owner and group may read or write it.
bool open_to_others(mode_t mode);

/// Finds a secret: the variable itself, then the file that `NAME_FILE` names, then
/// $CREDENTIALS_DIRECTORY/NAME. Unset or empty everywhere: nullopt. Warnings (a file under /run/secrets that
/// others can read) are added to `warnings`.
Result<std::optional<std::string>> find_secret(const Environment& env, std::string_view name,
                                               std::vector<std::string>& warnings);

/// True when `find_secret` would look at something: for a program that must know *that* a key exists, not the
/// key.
bool has_secret(const Environment& env, std::string_view name);

}  // namespace katana::config
