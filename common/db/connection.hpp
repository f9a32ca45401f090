#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "common/core/result.hpp"

namespace katana::db {

/// A prepared statement, as a driver keeps it between uses. Columns and parameters hold 64-bit integers and
/// text; NULL reads as 0 and "". Database thread only.
class Statement {
 public:
  virtual ~Statement() = default;
  virtual void bind(int parameter, std::int64_t value) = 0;           ///< parameters count from 1
  virtual void bind(int parameter, std::string_view value) = 0;       ///< copied
  virtual bool step() = 0;                                            ///< true: a row is there
  [[nodiscard]] virtual std::int64_t integer(int column) const = 0;   ///< columns count from 0
  [[nodiscard]] virtual std::string_view text(int column) const = 0;  ///< until the next step
  [[nodiscard]] virtual std::uint64_t changed() const = 0;            ///< rows that the last run changed
  virtual void reset() = 0;
};

/// The rows of one query. Gives the statement back when it goes out of scope; drop it before the same SQL
/// runs again.
class Rows {
 public:
  explicit Rows(Statement* statement) : statement_(statement) {}
  Rows(Rows&& other) noexcept : statement_(other.statement_) { other.statement_ = nullptr; }
  Rows& operator=(Rows&&) = delete;
  ~Rows() {
    if (statement_ != nullptr) statement_->reset();
  }

  bool next() { return statement_ != nullptr && statement_->step(); }
  template <class T = std::int64_t>
  [[nodiscard]] T integer(int column) const {
    return static_cast<T>(statement_->integer(column));
  }
  [[nodiscard]] std::string text(int column) const { return std::string(statement_->text(column)); }
  [[nodiscard]] std::string_view view(int column) const { return statement_->text(column); }

 private:
  Statement* statement_;
};

/// A copy under way into a new file; `step` copies a part and tells whether it is whole. What is written
/// meanwhile through the same connection is in it.
class Copy {
 public:
  virtual ~Copy() = default;
  virtual Result<bool> step() = 0;
};

/// A connection to one database, and the whole of what the rooms above know of it. Errors stick: after the
/// first one in a transaction every later statement does nothing and finds no rows, so that an operation is
/// written straight down, and `error()` is looked at once, at its end (by `DatabaseThread`). Parameters are
/// written $1, $2 … in the order in which they first appear. Used by one thread at a time.
class Connection {
 public:
  virtual ~Connection() = default;

  template <class... Values>
  Rows query(std::string_view sql, const Values&... values) {
    return Rows(bound(sql, values...));
  }
  /// Runs a statement that returns no rows; how many rows it changed.
  template <class... Values>
  std::uint64_t run(std::string_view sql, const Values&... values) {
    Statement* statement = bound(sql, values...);
    if (statement == nullptr) return 0;
    statement->step();
    const std::uint64_t changed = statement->changed();
    statement->reset();
    return changed;
  }

  /// The first failure since `begin` (or since the last rollback).
  [[nodiscard]] virtual const std::optional<Error>& error() const = 0;

  virtual void begin() = 0;
  virtual Result<void> commit() = 0;  ///< fails too when a statement has failed; then `rollback` is due
  /// Ends the transaction without effect, also when the database has ended it by itself. Forgets the error.
  virtual void rollback() = 0;

  /// The open transaction has changed something: asked before its commit.
  [[nodiscard]] virtual bool has_written() const = 0;
  /// Writes something that means nothing, inside of a transaction: shows that the database can be written.
  virtual void touch() = 0;

  /// Several statements, separated by semicolons: migrations.
  virtual Result<void> script(const std::string& sql) = 0;
  /// `progress` is called again and again while a statement runs that takes long, on its thread: for work
  /// that somebody waits for. Empty: no more. It must not use the connection.
  virtual void on_progress(std::function<void()> progress) = 0;

  /// Begins a copy into `path`, which must not exist; it gets mode 0600, and its name when it is whole and
  /// forced to the disk. Step it outside of transactions.
  virtual Result<std::unique_ptr<Copy>> copy_to(const std::string& path) = 0;
  /// Returns up to `pages` free pages to the file system; true: there are more to be returned. A part of the
  /// file stays free for what is written next.
  virtual bool give_back(int pages) = 0;

  /// What commits leave to be done later; the database thread does it between groups, when `busy` is false or
  /// when it can't wait any longer.
  [[nodiscard]] virtual bool upkeep_due(bool busy) const = 0;
  virtual void upkeep() = 0;

  /// The statement for this SQL, prepared at its first use; nullptr after an error. What `query` and `run`
  /// stand on.
  virtual Statement* prepare(std::string_view sql) = 0;

 private:
  template <class... Values>
  Statement* bound(std::string_view sql, const Values&... values) {
    Statement* statement = prepare(sql);
    if (statement == nullptr) return nullptr;
    int parameter = 0;
    (bind_one(*statement, ++parameter, values), ...);
    return statement;
  }
  template <class Value>
  static void bind_one(Statement& statement, int parameter, const Value& value) {
    if constexpr (std::is_integral_v<Value> || std::is_enum_v<Value>) {
      statement.bind(parameter, static_cast<std::int64_t>(value));
    } else {
      statement.bind(parameter, std::string_view(value));
    }
  }
};

}  // namespace katana::db
