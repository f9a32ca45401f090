#include "gateway/store/rescue.hpp"

#include <ctime>
#include <filesystem>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

#include "common/db/sqlite.hpp"
#include "gateway/store/schema.hpp"

namespace katana::gateway {
namespace {

namespace fs = std::filesystem;

/// The files that SQLite keeps a database in.
constexpr const char* kParts[] = {"", "-wal", "-shm"};

Result<std::unique_ptr<db::Connection>> open_known(const std::string& path) {
  auto opened = db::open_sqlite(path, {.whole = true});
  if (!opened) return opened;
  std::int64_t version = 0;
  {
    auto rows = (*opened)->query("SELECT coalesce(max(version), 0) FROM schema_version");
    if (rows.next()) version = rows.integer(0);
  }
  if ((*opened)->error() || version == 0)
    return fail(Code::Rejected, path + ": this is no store of Katana's");
  const int newest = schema().back().version;
  if (version > newest) {
    return fail(Code::Rejected, path + " has schema " + std::to_string(version) +
                                    ", this program knows schemas up to " + std::to_string(newest) +
                                    ": run the newer program");
  }
  return opened;
}

Result<StoreSummary> summary_of(db::Connection& db) {
  StoreSummary out;
  {
    auto rows = db.query(
        "SELECT (SELECT count(*) FROM turns WHERE answered = 1), "
        "(SELECT count(*) FROM open_turns WHERE turn_id NOT IN (SELECT turn_id FROM turns)), "
        "(SELECT count(*) FROM members), (SELECT coalesce(max(turn_id), 0) FROM turns), "
        "(SELECT coalesce(max(settled_at), 0) FROM turns)");
    if (rows.next()) {
      out = {rows.integer(0), rows.integer(1), rows.integer(2), rows.integer(3),
             from_unix_ms(rows.integer(4))};
    }
  }
  if (db.error()) return fail(*db.error());
  return out;
}

std::string time_of(Wall t) {
  const std::time_t seconds = to_unix(t);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text, n};
}

std::string words(const StoreSummary& s) {
  std::string out = std::to_string(s.answered) + " answered questions, " + std::to_string(s.open) +
                    " open ones, " + std::to_string(s.members) + " people";
  if (s.newest != Wall{}) out += ", the newest of " + time_of(s.newest);
  return out;
}

/// What the store that is there has and the backup hasn't.
std::string losses(const std::string& path, const StoreSummary& backup) {
  auto there = open_known(path);
  if (!there) return "What it holds can't be told: " + there.error().detail + ".";
  std::int64_t settled = 0;
  std::int64_t open = 0;
  Wall from{};
  Wall to{};
  {
    auto rows = (*there)->query(
        "SELECT count(*), coalesce(min(settled_at), 0), coalesce(max(settled_at), 0) FROM turns WHERE "
        "turn_id > "
        "$1",
        backup.newest_turn);
    if (rows.next()) {
      settled = rows.integer(0);
      from = from_unix_ms(rows.integer(1));
      to = from_unix_ms(rows.integer(2));
    }
  }
  {
    auto rows = (*there)->query("SELECT count(*) FROM open_turns WHERE turn_id > $1", backup.newest_turn);
    if (rows.next()) open = rows.integer(0);
  }
  const auto now = summary_of(**there);
  if (!now) return "What it holds can't be told: " + now.error().detail + ".";
  std::string out =
      "Lost would be what came after the backup: " + std::to_string(settled) + " settled questions";
  if (settled > 0) out += " (" + time_of(from) + " to " + time_of(to) + ")";
  out += ", " + std::to_string(open) + " open ones";
  const std::int64_t people = now->members - backup.members;
  if (people > 0) out += ", and " + std::to_string(people) + " people let in or shut out";
  return out + ".";
}

Result<void> moved(const std::string& from, const std::string& to) {
  std::error_code failed;
  for (const char* part : kParts) {
    if (!fs::exists(from + part, failed)) continue;
    fs::rename(from + part, to + part, failed);
    if (failed) return fail(Code::Internal, from + part + ": " + failed.message());
  }
  return {};
}

std::string free_name(const std::string& path) {
  std::error_code failed;
  for (int n = 1;; ++n) {
    std::string name = path + ".replaced-" + std::to_string(n);
    if (!fs::exists(name, failed)) return name;
  }
}

}  // namespace

Result<StoreSummary> examine_store(const std::string& path) {
  auto opened = open_known(path);
  if (!opened) return fail(opened.error());
  return summary_of(**opened);
}

Result<std::string> restore_store(const std::string& backup, const std::string& path, bool replace) {
  std::error_code failed;
  if (!fs::is_regular_file(backup, failed)) return fail(Code::Rejected, backup + ": there is no such file");
  // A copy is looked at and made ready, so that the backup stays as it is.
  const std::string part = path + ".restored";
  for (const char* suffix : kParts)
    fs::remove(part + suffix, failed);
  const mode_t before = umask(0177);
  fs::copy_file(backup, part, failed);
  umask(before);
  if (failed) return fail(Code::Internal, part + ": " + failed.message());
  chmod(part.c_str(), 0600);
  const auto held = examine_store(part);
  if (!held) {
    for (const char* suffix : kParts)
      fs::remove(part + suffix, failed);
    return fail(held.error().code, "the backup can't be used: " + held.error().detail);
  }
  std::string kept;
  if (fs::exists(path, failed)) {
    if (!replace) {
      const std::string lost = losses(path, *held);
      for (const char* suffix : kParts)
        fs::remove(part + suffix, failed);
      return fail(Code::Rejected,
                  path + " is there already, and nothing was changed. " + lost +
                      " To put the backup in its place say --replace; the present one is kept "
                      "beside it");
    }
    kept = free_name(path);
    if (auto put_aside = moved(path, kept); !put_aside) return fail(put_aside.error());
  }
  if (auto placed = moved(part, path); !placed) return fail(placed.error());
  std::string out = "Restored " + path + ": " + words(*held) + ".";
  if (!kept.empty()) out += "\nThe one before is kept as " + kept + ".";
  return out;
}

}  // namespace katana::gateway
