#include "gateway/store/rescue.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/db/sqlite.hpp"
#include "common/log/log.hpp"
#include "gateway/store/schema.hpp"

namespace katana::gateway {
namespace {

namespace fs = std::filesystem;

/// The files that SQLite keeps a database in.
constexpr const char* kParts[] = {"-wal", "-shm", ""};

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

/// Any of its files: a log alone would be replayed into whatever is put beside it.
bool exists(const std::string& path) {
  std::error_code failed;
  return std::any_of(std::begin(kParts), std::end(kParts),
                     [&](const char* part) { return fs::exists(path + part, failed); });
}

void remove_parts(const std::string& path) {
  std::error_code failed;
  for (const char* part : kParts)
    fs::remove(path + part, failed);
}

/// Whether a process has it open: SQLite's own lock (the bytes from 1 GiB on), which ours hold as long as
/// they live. It is there whatever state the file is in.
bool in_use(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 0x40000000;
  lock.l_len = 512;
  const bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  close(fd);
  return held;
}

Result<void> flushed(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = fd >= 0 && fsync(fd) == 0;
  const int reason = errno;
  if (fd >= 0) close(fd);
  if (done) return {};
  return fail(Code::Internal, path + ": " + std::generic_category().message(reason));
}

/// The logs go first: a database without its log is an older one, a log without its database is a trap.
Result<void> moved(const std::string& from, const std::string& to) {
  std::error_code failed;
  for (const char* part : kParts) {
    if (!fs::exists(from + part, failed)) continue;
    fs::rename(from + part, to + part, failed);
    if (failed) return fail(Code::Internal, from + part + ": " + failed.message());
    utimensat(AT_FDCWD, (to + part).c_str(), nullptr, 0);  // its time as a copy begins now
  }
  return {};
}

/// The copy that a file belongs to, NAME.before-N or NAME.replaced-N; empty: it is no copy of the store
/// `name`.
std::string copy_of(std::string_view file, std::string_view name) {
  if (!file.starts_with(name)) return {};
  for (const std::string_view mark : {".before-", ".replaced-"}) {
    const std::string_view rest = file.substr(name.size());
    if (!rest.starts_with(mark)) continue;
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789", mark.size()), rest.size());
    const bool part =
        std::find(std::begin(kParts), std::end(kParts), rest.substr(digits)) != std::end(kParts);
    if (digits > mark.size() && part) return std::string(file.substr(0, name.size() + digits));
  }
  return {};
}

/// The copies beside a store, and when each was made or written last: a write-ahead log may be younger than
/// its database.
std::map<std::string, Wall> copies_of(const fs::path& store) {
  std::map<std::string, Wall> found;
  std::error_code failed;
  fs::directory_iterator at(store.has_parent_path() ? store.parent_path() : ".", failed);
  for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
    const std::string copy = copy_of(at->path().filename().native(), store.filename().native());
    struct stat file {};
    if (copy.empty() || stat(at->path().c_str(), &file) != 0) continue;
    Wall& written = found[(at->path().parent_path() / copy).string()];
    written = std::max(written, from_unix(file.st_mtime));
  }
  return found;
}

std::string free_name(const std::string& path) {
  for (int n = 1;; ++n) {
    std::string name = path + ".replaced-" + std::to_string(n);
    if (!exists(name)) return name;
  }
}

/// `backup` as a store of its own at `part`, looked at and made ready, so that the backup stays as it is.
Result<StoreSummary> prepared(const std::string& backup, const std::string& part) {
  remove_parts(part);
  std::error_code failed;
  const mode_t before = umask(0177);
  fs::copy_file(backup, part, failed);
  umask(before);
  if (failed) return fail(Code::Internal, part + ": " + failed.message());
  chmod(part.c_str(), 0600);
  auto held = examine_store(part);
  if (!held) return fail(held.error().code, "the backup can't be used: " + held.error().detail);
  if (auto kept = flushed(part); !kept) return fail(kept.error());
  return held;
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
  if (in_use(path)) {
    return fail(Code::Rejected,
                path + ": a process has it open, and nothing was changed; stop the gateway first");
  }
  const std::string part = path + ".restored";
  const auto held = prepared(backup, part);
  if (!held) return remove_parts(part), fail(held.error());
  std::string kept;
  if (exists(path)) {
    if (!replace) {
      const std::string lost = losses(path, *held);
      remove_parts(part);
      return fail(Code::Rejected,
                  path + " is there already, and nothing was changed. " + lost +
                      " To put the backup in its place say --replace; the present one is kept "
                      "beside it");
    }
    kept = free_name(path);
    if (auto put_aside = moved(path, kept); !put_aside) return remove_parts(part), fail(put_aside.error());
  }
  if (auto placed = moved(part, path); !placed) return fail(placed.error());
  if (auto durable = flushed(fs::path(path).parent_path().string()); !durable) return fail(durable.error());
  std::string out = "Restored " + path + ": " + words(*held) + ".";
  if (held->open > 0) {
    out +=
        "\nThe open ones are answered when the gateway starts, also those that were answered after the "
        "backup.";
  }
  if (!kept.empty()) out += "\nThe one before is kept as " + kept + ".";
  return out;
}

std::uint64_t remove_old_copies(const std::string& path, Wall before) {
  std::uint64_t removed = 0;
  for (const auto& [copy, written] : copies_of(path)) {
    if (written >= before) continue;
    remove_parts(copy);
    std::error_code failed;
    if (!fs::exists(copy, failed)) {
      ++removed;
    } else {
      log::Room{"store"}.error("{} is older than KATANA_RETENTION and can't be removed; remove it by hand",
                               copy);
    }
  }
  return removed;
}

}  // namespace katana::gateway
