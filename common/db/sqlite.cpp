#include "common/db/sqlite.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace katana::db {
namespace {

/// The WAL is copied back into the database when it holds this much: while it is quiet, and in any case. The
/// second bounds what a start after a crash has to read.
constexpr std::int64_t kWalQuiet = 1 << 20;
constexpr std::int64_t kWalBusy = 32 << 20;
/// A file up to this size is read through at opening. A larger one would delay the start; there, damage shows
/// when the damaged page is read.
constexpr std::int64_t kCheckedAtOpen = 8 << 20;
/// Steps of SQLite's machine between two calls of `on_progress`: a millisecond or so.
constexpr int kStepsBetween = 100'000;
/// Pages that one step of a copy takes.
constexpr int kCopyPages = 256;

std::string_view what_to_do(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full: free some space";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process holds it: end that one first, or use another state directory";
    case SQLITE_CORRUPT:
      return "the file is damaged: stop Katana and restore a backup (katana restore)";
    case SQLITE_NOTADB:
      return "this is no database, or a damaged one: stop Katana and restore a backup (katana restore)";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "it can't be written: check owner and mode of the file and of its directory";
    case SQLITE_CANTOPEN:
      return "it can't be opened: check owner and mode of the file and of its directory";
    case SQLITE_IOERR:
      return "reading or writing failed: look for disk errors in the kernel's log";
    case SQLITE_NOMEM:
      return "out of memory";
    case SQLITE_TOOBIG:
      return "a value is too large";
    default:
      return "the database refused";
  }
}

Error system_error(const std::string& path, std::string_view doing, int number) {
  return Error{Code::Internal, path + ": " + std::string(doing) + ": " + std::strerror(number)};
}

/// Renames a file that is forced to the disk, and forces its new name there too. Nothing is replaced.
Result<void> name_durably(const std::string& from, const std::string& to) {
  bool named = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0;
  // Network file systems know no flags; a second name is refused where there is one already, too.
  if (!named && (errno == EINVAL || errno == ENOSYS)) {
    named = link(from.c_str(), to.c_str()) == 0;
    if (named) unlink(from.c_str());
  }
  if (!named) return fail(system_error(to, "naming it", errno));
  const std::string directory = std::filesystem::absolute(to).parent_path().string();
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int number = errno;
  if (fd >= 0) close(fd);
  if (!synced) return fail(system_error(directory, "forcing it to the disk", number));
  return {};
}

class SqliteConnection;

class SqliteStatement final : public Statement {
 public:
  SqliteStatement(SqliteConnection& connection, sqlite3_stmt* statement)
      : connection_(connection), statement_(statement) {}
  ~SqliteStatement() override { sqlite3_finalize(statement_); }
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  void bind(int parameter, std::int64_t value) override;
  void bind(int parameter, std::string_view value) override;
  bool step() override;
  std::int64_t integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string_view text(int column) const override {
    const auto* at = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (at == nullptr) return {};
    return {at, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::uint64_t changed() const override { return changed_; }
  void reset() override { sqlite3_reset(statement_); }

 private:
  SqliteConnection& connection_;
  sqlite3_stmt* statement_;
  std::uint64_t changed_ = 0;
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  ~SqliteConnection() override {
    statements_.clear();
    sqlite3_close_v2(db_);  // v2: a copy that was left half-way lets go of it later
  }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  const std::optional<Error>& error() const override { return error_; }
  void begin() override { run("BEGIN"); }
  Result<void> commit() override;
  void rollback() override;
  bool has_written() const override { return sqlite3_txn_state(db_, "main") == SQLITE_TXN_WRITE; }
  void touch() override;
  Result<void> script(const std::string& sql) override;
  void on_progress(std::function<void()> progress) override;
  Result<std::unique_ptr<Copy>> copy_to(const std::string& path) override;
  bool give_back(int pages) override;
  bool upkeep_due(bool busy) const override {
    return wal_bytes_ - wal_tried_ > (busy ? kWalBusy : kWalQuiet);
  }
  void upkeep() override;
  Statement* prepare(std::string_view sql) override;

  Result<void> set_up(const SqliteOptions& options, std::int64_t size);
  void note(int code);
  sqlite3* handle() { return db_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view sql) const { return std::hash<std::string_view>{}(sql); }
  };
  std::int64_t pragma(std::string_view sql);
  Result<void> recognise(bool whole);

  sqlite3* db_;
  std::string path_;
  std::function<void()> progress_;
  std::optional<Error> error_;
  std::optional<Error> damage_;  // once seen, nothing is written or read any more
  std::unordered_map<std::string, std::unique_ptr<SqliteStatement>, Hash, std::equal_to<>> statements_;
  std::int64_t page_size_ = 0;
  std::int64_t wal_bytes_ = 0;
  std::int64_t wal_tried_ =
      0;  // what a checkpoint has been tried for, so that a failing one isn't tried at every group
};

void SqliteStatement::bind(int parameter, std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_, parameter, value);
  if (code != SQLITE_OK) connection_.note(code);
}

void SqliteStatement::bind(int parameter, std::string_view value) {
  const char* at = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  const int code =
      sqlite3_bind_text64(statement_, parameter, at, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) connection_.note(code);
}

bool SqliteStatement::step() {
  changed_ = 0;
  if (connection_.error()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    changed_ = static_cast<std::uint64_t>(sqlite3_changes64(connection_.handle()));
  } else {
    connection_.note(code);
  }
  return false;
}

/// SQLite's failure in our words, once. Its message names tables and files, never a value that was bound.
void SqliteConnection::note(int code) {
  if (error_) return;
  error_ = Error{Code::Internal, path_ + ": " + std::string(what_to_do(code)) + " (SQLite " +
                                     std::to_string(sqlite3_extended_errcode(db_)) + ": " +
                                     sqlite3_errmsg(db_) + ")"};
  if ((code & 0xff) != SQLITE_CORRUPT && (code & 0xff) != SQLITE_NOTADB) return;
  damage_ = error_;
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

Statement* SqliteConnection::prepare(std::string_view sql) {
  if (!error_ && damage_) error_ = damage_;
  if (error_) return nullptr;
  if (const auto found = statements_.find(sql); found != statements_.end()) return found->second.get();
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) {
    note(code);
    return nullptr;
  }
  auto statement = std::make_unique<SqliteStatement>(*this, raw);
  // SQLite numbers `$n` by first appearance, PostgreSQL by n: only where both agree does one text serve both.
  for (int i = 1; i <= sqlite3_bind_parameter_count(raw); ++i) {
    if (sqlite3_bind_parameter_name(raw, i) != "$" + std::to_string(i)) {
      error_ = Error{Code::Internal, "parameters out of order in: " + std::string(sql)};
      return nullptr;
    }
  }
  return statements_.emplace(sql, std::move(statement)).first->second.get();
}

Result<void> SqliteConnection::commit() {
  if (!error_) run("COMMIT");
  if (error_) return fail(*error_);
  return {};
}

void SqliteConnection::rollback() {
  // A full disk or an I/O error can have ended the transaction already. Not through `run`, which a damaged
  // file stops.
  if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  error_.reset();
}

/// No statement that is kept: each has another number in it.
void SqliteConnection::touch() {
  const std::int64_t next = (pragma("PRAGMA user_version") + 1) & 0xffff;
  (void)script("PRAGMA user_version=" + std::to_string(next));
}

Result<void> SqliteConnection::script(const std::string& sql) {
  if (!error_ && damage_) error_ = damage_;
  if (!error_) {
    const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) note(code);
  }
  if (error_) return fail(*error_);
  return {};
}

void SqliteConnection::on_progress(std::function<void()> progress) {
  progress_ = std::move(progress);
  const auto call = [](void* self) {
    static_cast<SqliteConnection*>(self)->progress_();
    return 0;  // go on
  };
  sqlite3_progress_handler(db_, progress_ ? kStepsBetween : 0, progress_ ? +call : nullptr, this);
}

/// A passive checkpoint: the next transaction then starts the WAL from its beginning again; the file keeps
/// its size.
void SqliteConnection::upkeep() {
  wal_tried_ = wal_bytes_;
  if (damage_) return;
  if (sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr) == SQLITE_OK) {
    wal_bytes_ = wal_tried_ = 0;
  }
}

bool SqliteConnection::give_back(int pages) {
  // An eighth of the file stays free: what is pruned today is written again tomorrow.
  const auto surplus = [this] { return pragma("PRAGMA freelist_count") - pragma("PRAGMA page_count") / 8; };
  const std::int64_t now = std::min<std::int64_t>(surplus(), pages);
  if (now > 0) (void)script("PRAGMA incremental_vacuum(" + std::to_string(now) + ")");
  return !error_ && surplus() > 0;
}

std::int64_t SqliteConnection::pragma(std::string_view sql) {
  Rows rows = query(sql);
  return rows.next() ? rows.integer(0) : 0;
}

/// Refuses what isn't ours, or isn't sound, before anything is written.
Result<void> SqliteConnection::recognise(bool whole) {
  const std::int64_t id = pragma("PRAGMA application_id");
  const std::int64_t tables = pragma("SELECT count(*) FROM sqlite_schema");
  if (error_) return fail(*error_);
  if (id != kApplicationId && (id != 0 || tables != 0)) {
    return fail(Code::Internal, path_ + ": this database belongs to another program: choose another file");
  }
  if (!whole) return {};
  Rows rows = query("PRAGMA quick_check(1)");
  if (rows.next() && rows.view(0) != "ok") {
    return fail(Code::Internal,
                path_ + ": " + std::string(what_to_do(SQLITE_CORRUPT)) + " (" + rows.text(0) + ")");
  }
  if (error_) return fail(*error_);
  return {};
}

Result<void> SqliteConnection::set_up(const SqliteOptions& options, std::int64_t size) {
  sqlite3_busy_timeout(db_, static_cast<int>(options.busy.count()));
  // Closing copies the WAL back. Not before we know that the file is ours and sound.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // Exclusive: this process alone, and the WAL's index in our own memory. It must come before the first read.
  if (auto done =
          script("PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=FAST");
      !done)
    return done;
  if (size > 0) {
    if (auto ours = recognise(options.whole || size <= kCheckedAtOpen); !ours) return ours;
  }
  // Page size and auto_vacuum take effect before the first page is written. Said again, the second one
  // writes.
  if (size == 0) {
    (void)script("PRAGMA page_size=" + std::to_string(options.page_size) +
                 "; PRAGMA auto_vacuum=INCREMENTAL");
  }
  if (auto done = script("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=-1; "
                         "PRAGMA cache_size=-4096");
      !done) {
    return done;
  }
  if (pragma("PRAGMA application_id") != kApplicationId) {
    (void)script("PRAGMA application_id=" + std::to_string(kApplicationId));
  }
  page_size_ = pragma("PRAGMA page_size");
  if (error_) return fail(*error_);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  // The hook takes the place of the automatic checkpoint, which would run inside of a commit.
  sqlite3_wal_hook(
      db_,
      [](void* self, sqlite3*, const char*, int pages) {
        auto* connection = static_cast<SqliteConnection*>(self);
        connection->wal_bytes_ = pages * connection->page_size_;
        return SQLITE_OK;
      },
      this);
  return {};
}

/// A copy on its way has this behind its name; one that was broken off is taken away by the next.
std::string part_of(const std::string& path) {
  return path + ".part";
}

/// sqlite3_backup, step by step. It fails inside of a transaction that has written.
class SqliteCopy final : public Copy {
 public:
  SqliteCopy(sqlite3* to, sqlite3_backup* backup, std::string path)
      : to_(to), backup_(backup), path_(std::move(path)) {}
  ~SqliteCopy() override {
    close_both();
    if (!whole_) unlink(part_of(path_).c_str());
  }
  SqliteCopy(const SqliteCopy&) = delete;
  SqliteCopy& operator=(const SqliteCopy&) = delete;

  Result<bool> step() override {
    const int code = sqlite3_backup_step(backup_, kCopyPages);
    if (code == SQLITE_OK) return false;
    if (code != SQLITE_DONE) {
      return fail(Code::Internal,
                  path_ + ": " + std::string(what_to_do(code)) + " (SQLite " + std::to_string(code) + ")");
    }
    close_both();  // SQLite has forced it to the disk by now; its name has yet to follow
    if (auto named = name_durably(part_of(path_), path_); !named) return fail(named.error());
    whole_ = true;
    return true;
  }

 private:
  void close_both() {
    sqlite3_backup_finish(std::exchange(backup_, nullptr));
    sqlite3_close_v2(std::exchange(to_, nullptr));
  }

  sqlite3* to_;
  sqlite3_backup* backup_;
  std::string path_;
  bool whole_ = false;
};

Result<sqlite3*> open_handle(const std::string& path) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code == SQLITE_OK) return db;
  sqlite3_close_v2(db);
  return fail(Code::Internal, path + ": " + std::string(what_to_do(code)));
}

/// Makes an empty file of mode 0600, so that SQLite gives its companions that mode too.
Result<void> create_private(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return fail(system_error(path, "creating it", errno));
  close(fd);
  return {};
}

Result<std::unique_ptr<Copy>> SqliteConnection::copy_to(const std::string& path) {
  if (damage_) return fail(*damage_);
  if (access(path.c_str(), F_OK) == 0)
    return fail(Code::Rejected, path + ": there is a file of this name already; choose another one");
  unlink(part_of(path).c_str());
  if (auto created = create_private(part_of(path)); !created) return fail(created.error());
  auto to = open_handle(part_of(path));
  if (!to) return fail(to.error());
  sqlite3_backup* backup = sqlite3_backup_init(*to, "main", db_, "main");
  if (backup != nullptr) return std::make_unique<SqliteCopy>(*to, backup, path);
  const std::string reason = sqlite3_errmsg(*to);
  sqlite3_close_v2(*to);
  unlink(part_of(path).c_str());
  return fail(Code::Internal, path + ": " + reason);
}

/// A log without its database is what is left of one: SQLite would take the store for new, and throw the log
/// away.
Result<void> has_body(const std::string& path) {
  std::error_code none;
  const auto body = std::filesystem::file_size(path, none);
  if (!none && body > 0) return {};
  const auto log = std::filesystem::file_size(path + "-wal", none);
  if (none || log == 0) return {};
  return fail(Code::Internal, path + ": " + std::string(what_to_do(SQLITE_CORRUPT)) +
                                  " (it is empty or gone, and its log " + path + "-wal is not)");
}

/// The file's size; 0 when it was created just now. Its directory is created with mode 0700 where it is
/// missing.
Result<std::int64_t> prepare_file(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) == 0) {
    if (!S_ISREG(found.st_mode)) return fail(Code::Internal, path + ": not a regular file");
    if ((found.st_mode & 077) != 0 && chmod(path.c_str(), 0600) != 0) {
      return fail(system_error(path, "taking it from other users (chmod 600)", errno));
    }
    return static_cast<std::int64_t>(found.st_size);
  }
  if (errno != ENOENT) return fail(system_error(path, "opening it", errno));
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  std::error_code failed;
  if (!directory.empty() && !std::filesystem::exists(directory, failed)) {
    std::filesystem::create_directories(directory.parent_path(), failed);
    if (!failed && mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
      failed.assign(errno, std::generic_category());
    }
    if (failed) return fail(system_error(directory.string(), "creating the directory", failed.value()));
  }
  if (auto created = create_private(path); !created) return fail(created.error());
  return 0;
}

}  // namespace

Result<std::unique_ptr<Connection>> open_sqlite(const std::string& path, SqliteOptions options) {
  // SQLite's count of its memory takes a lock at every allocation, and nobody reads it.
  static const int once = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)once;
  if (auto whole = has_body(path); !whole) return fail(whole.error());
  const auto size = prepare_file(path);
  if (!size) return fail(size.error());
  const auto db = open_handle(path);
  if (!db) return fail(db.error());
  auto connection = std::make_unique<SqliteConnection>(*db, path);
  if (auto ready = connection->set_up(options, *size); !ready) return fail(ready.error());
  return connection;
}

}  // namespace katana::db
