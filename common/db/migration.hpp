#pragma once

#include <functional>
#include <span>
#include <string>

#include "common/core/result.hpp"
#include "common/db/connection.hpp"

namespace katana::db {

/// One step of a schema. Steps go forward only; their versions count from 1 without a gap.
struct Migration {
  int version = 0;
  const char* sql = "";
};

/// Brings the database to the last of `steps`, each in a transaction of its own. A database that holds
/// something gets copied to `copy_path` + `.before-N` first, N being the first step that it lacks (unless
/// `copy_path` is empty); the copy is on the disk before that step begins. A schema newer than the last step
/// is refused. `progress` is called again and again meanwhile, as Connection's is. Returns the version found.
Result<int> migrate(Connection& connection, std::span<const Migration> steps, const std::string& copy_path,
                    const std::function<void()>& progress);

}  // namespace katana::db
