#pragma once

#include <memory>
#include <string>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/db/connection.hpp"

namespace katana::db {

/// Marks a file as one of ours (SQLite's application_id): `KTNA`.
inline constexpr std::int64_t kApplicationId = 0x4b544e41;

struct SqliteOptions {
  /// How long another process that holds the file is waited for, at opening.
  Millis busy{2000};
  /// Of a new file. Small pages, because a transaction writes whole ones: see README.md.
  int page_size = 2048;
  bool whole = false;  ///< read through, however large: a file up to 8 MiB is in any case
};

/// Opens or creates a SQLite database: mode 0600, its directory made with 0700; WAL, `synchronous=FULL`,
/// `auto_vacuum=INCREMENTAL`, locked for this process alone. A file that is corrupt, somebody else's or not a
/// database is refused and left as it is. The connection may be used by another thread than the one that
/// opened it, but by one at a time.
Result<std::unique_ptr<Connection>> open_sqlite(const std::string& path, SqliteOptions options = {});

}  // namespace katana::db
