#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/db/connection.hpp"
#include "common/loop/loop.hpp"

namespace katana::db {

/// One piece of work for the database, with its two completions. Made by `DatabaseThread::submit`.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void run(Connection& connection) = 0;  ///< database thread; again, alone, after its group failed
  virtual void fail(const Error& error) = 0;     ///< database thread: an error in the place of the outcome
  virtual void applied() = 0;                    ///< loop thread
  virtual void durable() = 0;                    ///< loop thread, after `applied`
  bool outside = false;                          ///< no part of a transaction: runs between two groups
  bool announced = false;  ///< `applied` was handed to the loop; written by the database thread alone
};

/// The thread that owns a database connection and commits in groups. It takes all waiting operations (at most
/// `kGroup`), runs them in one transaction, reports them to the loop as applied, commits, and reports them as
/// durable; what is submitted meanwhile is the next group. When a statement or the commit fails, the
/// transaction is rolled back and each operation is run again in a transaction of its own, so that a bad one
/// harms no other: its `durable` alone carries the error. Owned by a store; made, used and destroyed on the
/// loop's thread. The destructor does all that waits, commits it, and drops the completions that the loop has
/// not run yet.
class DatabaseThread {
 public:
  static constexpr std::size_t kGroup = 512;
  /// Operations run before their `applied` goes to the loop: a long group doesn't make its first ones wait.
  static constexpr std::size_t kSlice = 16;
  /// Quiet time after which upkeep is done.
  static constexpr Millis kQuiet{100};

  DatabaseThread(loop::Loop& loop, std::unique_ptr<Connection> connection);
  ~DatabaseThread();
  DatabaseThread(const DatabaseThread&) = delete;
  DatabaseThread& operator=(const DatabaseThread&) = delete;

  /// `work(Connection&) -> Result<T>` runs on the database thread, twice when its group failed: it must not
  /// depend on what the first run left in memory. What it refuses (an Error of its own) it must refuse before
  /// its first write. Both completions run on the loop; either may be empty. What `applied` takes out of the
  /// outcome, `durable` doesn't find there.
  template <class T, class Work>
  void submit(Work work, std::function<void(Result<T>&)> applied, std::function<void(Result<T>)> durable) {
    push(std::make_unique<Typed<T, Work>>(std::move(work), std::move(applied), std::move(durable)));
  }
  /// Why the last transaction failed, if none that wrote was committed since. Loop thread.
  [[nodiscard]] const std::optional<Error>& trouble() const { return trouble_; }
  /// The same, outside of any transaction: for work that the database refuses inside of one (copies).
  template <class T, class Work>
  void submit_outside(Work work, std::function<void(Result<T>)> durable) {
    auto operation = std::make_unique<Typed<T, Work>>(std::move(work), nullptr, std::move(durable));
    operation->outside = true;
    push(std::move(operation));
  }

 private:
  using Group = std::vector<std::unique_ptr<Operation>>;

  template <class T, class Work>
  class Typed final : public Operation {
   public:
    Typed(Work work, std::function<void(Result<T>&)> applied, std::function<void(Result<T>)> durable)
        : work_(std::move(work)), applied_(std::move(applied)), durable_(std::move(durable)) {}
    void run(Connection& connection) override { (announced ? last_ : first_).emplace(work_(connection)); }
    void fail(const Error& error) override { (announced ? last_ : first_).emplace(katana::fail(error)); }
    void applied() override {
      if (applied_) applied_(*first_);
    }
    void durable() override {
      if (durable_) durable_(last_ ? std::move(*last_) : std::move(*first_));
    }

   private:
    Work work_;
    std::function<void(Result<T>&)> applied_;
    std::function<void(Result<T>)> durable_;
    // Two places: once announced, the loop may be reading the first outcome while the second is written.
    std::optional<Result<T>> first_;
    std::optional<Result<T>> last_;
  };

  void push(std::unique_ptr<Operation> operation);
  void hand_over();
  void work();
  bool take(Group& group);
  void run_group(std::shared_ptr<Group> group);
  void run_alone(Operation& operation);
  Result<void> commit();
  void run_outside(std::shared_ptr<Group> group);
  void announce(const std::shared_ptr<Group>& group, std::size_t from, std::size_t to);
  void conclude(std::shared_ptr<Group> group);

  loop::Loop& loop_;
  std::unique_ptr<Connection> connection_;  // the database thread's while it runs
  std::shared_ptr<bool> alive_;             // read and written on the loop's thread only
  std::optional<Error> trouble_;            // the loop's
  std::optional<Error> failure_;            // the same, as the database thread knows it
  // Submitted in this turn of the loop: handed over together when it ends, or when there are kSlice of them.
  // Waking the thread for each alone cost two system calls an operation, and groups of one.
  Group gathered_;

  // The one lock: the queue is where two threads meet. Held to append a few pointers or to swap a vector.
  std::mutex mutex_;
  std::condition_variable wake_;
  Group queue_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace katana::db
