#include "common/db/migration.hpp"

#include <filesystem>

namespace katana::db {
namespace {

Result<void> copy_whole(Connection& connection, const std::string& path,
                        const std::function<void()>& progress) {
  auto copy = connection.copy_to(path);
  if (!copy) return fail(copy.error());
  for (;;) {
    auto whole = (*copy)->step();
    if (!whole) return fail(whole.error());
    if (*whole) return {};
    if (progress) progress();
  }
}

/// A copy that is there already is of this same schema, by a try that didn't end or from before a roll-back:
/// what is in the database now is what it was, or newer.
Result<void> keep_copy(Connection& connection, const std::string& path,
                       const std::function<void()>& progress) {
  std::error_code failed;
  std::filesystem::remove(path, failed);
  return copy_whole(connection, path, progress);
}

int read_version(Connection& connection) {
  Rows rows = connection.query("SELECT coalesce(max(version), 0) FROM schema_version");
  return rows.next() ? rows.integer<int>(0) : 0;
}

/// Writes to a database without a schema alone: one that is newer, or not ours, stays as it is to the byte.
Result<int> version_of(Connection& connection) {
  connection.begin();
  const int found = read_version(connection);
  const bool known = !connection.error();
  connection.rollback();
  if (known) return found;
  connection.begin();
  connection.run("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
  const int version = read_version(connection);
  if (auto committed = connection.commit(); !committed) {
    connection.rollback();
    return fail(committed.error());
  }
  return version;
}

Result<void> take_step(Connection& connection, const Migration& step) {
  connection.begin();
  (void)connection.script(step.sql);
  connection.run("INSERT INTO schema_version (version) VALUES ($1)", step.version);
  if (auto committed = connection.commit(); !committed) {
    connection.rollback();
    return fail(with_context(committed.error(), "migration " + std::to_string(step.version)));
  }
  return {};
}

}  // namespace

Result<int> migrate(Connection& connection, std::span<const Migration> steps, const std::string& copy_path,
                    const std::function<void()>& progress) {
  auto found = version_of(connection);
  if (!found) return found;
  const int newest = steps.empty() ? 0 : steps.back().version;
  if (*found > newest) {
    return fail(Code::Internal, "the store has schema " + std::to_string(*found) +
                                    ", this program knows schemas up to " + std::to_string(newest) +
                                    ": run the newer program, or restore the copy that it "
                                    "made before its migration");
  }
  if (*found > 0 && *found < newest && !copy_path.empty()) {
    const std::string path = copy_path + ".before-" + std::to_string(*found + 1);
    if (auto copied = keep_copy(connection, path, progress); !copied) {
      return fail(with_context(copied.error(), "keeping a copy before the migration"));
    }
  }
  connection.on_progress(progress);
  Result<void> taken;
  for (const Migration& step : steps) {
    if (step.version <= *found) continue;
    taken = take_step(connection, step);
    if (!taken) break;
  }
  connection.on_progress({});
  if (!taken) return fail(taken.error());
  return found;
}

}  // namespace katana::db
