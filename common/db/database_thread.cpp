#include "common/db/database_thread.hpp"

#include <algorithm>
#include <iterator>

#include <pthread.h>
#include <signal.h>

namespace katana::db {

DatabaseThread::DatabaseThread(loop::Loop& loop, std::unique_ptr<Connection> connection)
    : loop_(loop), connection_(std::move(connection)), alive_(std::make_shared<bool>(true)) {
  // Signals are the loop's: the thread inherits a mask that blocks them all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

DatabaseThread::~DatabaseThread() {
  hand_over();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  *alive_ = false;
}

void DatabaseThread::push(std::unique_ptr<Operation> operation) {
  gathered_.push_back(std::move(operation));
  if (gathered_.size() >= kSlice) return hand_over();
  if (gathered_.size() > 1) return;
  loop_.later([this, alive = alive_] {
    if (*alive) hand_over();
  });
}

void DatabaseThread::hand_over() {
  if (gathered_.empty()) return;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = queue_.empty();
    std::move(gathered_.begin(), gathered_.end(), std::back_inserter(queue_));
  }
  gathered_.clear();
  if (first) wake_.notify_one();
}

void DatabaseThread::work() {
  pthread_setname_np(pthread_self(), "database");
  Group group;
  while (take(group)) {
    auto taken = std::make_shared<Group>(std::move(group));
    group.clear();
    if (taken->front()->outside) {
      run_outside(std::move(taken));
    } else {
      run_group(std::move(taken));
    }
    if (connection_->upkeep_due(true)) connection_->upkeep();
  }
}

/// Waits for work, and takes what may run together: a run of operations that belong in a transaction, or a
/// single one that must stay out of one. False when all is done and the owner wants to leave.
bool DatabaseThread::take(Group& group) {
  std::unique_lock lock(mutex_);
  const auto something = [this] { return stopping_ || !queue_.empty(); };
  if (!something() && connection_->upkeep_due(false) && !wake_.wait_for(lock, kQuiet, something)) {
    lock.unlock();
    connection_->upkeep();
    lock.lock();
  }
  wake_.wait(lock, something);
  if (queue_.empty()) return false;

  auto end = queue_.begin() + 1;
  if (!queue_.front()->outside) {
    const auto limit = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kGroup));
    end = std::find_if(end, limit, [](const auto& operation) { return operation->outside; });
  }
  if (end == queue_.end()) {
    group.swap(queue_);
  } else {
    group.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
  }
  return true;
}

void DatabaseThread::run_group(std::shared_ptr<Group> group) {
  connection_->begin();
  std::size_t announced = 0;
  for (std::size_t i = 0; i < group->size() && !connection_->error(); ++i) {
    (*group)[i]->run(*connection_);
    const bool slice_ends = i + 1 == group->size() || i + 1 - announced == kSlice;
    if (!connection_->error() && slice_ends) {
      announce(group, announced, i + 1);
      announced = i + 1;
    }
  }
  if (!commit()) {
    connection_->rollback();
    for (auto& operation : *group)
      run_alone(*operation);
  }
  conclude(std::move(group));
}

/// Runs one operation in a transaction of its own.
void DatabaseThread::run_alone(Operation& operation) {
  connection_->begin();
  if (!connection_->error()) operation.run(*connection_);
  const Result<void> committed = commit();
  if (committed) return;
  operation.fail(committed.error());
  connection_->rollback();
}

/// A transaction that only read shows nothing about a full disk: it doesn't end the trouble.
Result<void> DatabaseThread::commit() {
  const bool wrote = connection_->has_written();
  Result<void> committed = connection_->commit();
  if (!committed) failure_ = committed.error();
  if (committed && wrote) failure_.reset();
  return committed;
}

void DatabaseThread::run_outside(std::shared_ptr<Group> group) {
  group->front()->run(*connection_);
  if (connection_->error()) {
    group->front()->fail(*connection_->error());
    connection_->rollback();
  }
  conclude(std::move(group));
}

void DatabaseThread::announce(const std::shared_ptr<Group>& group, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i)
    (*group)[i]->announced = true;
  loop_.post([group, from, to, alive = alive_] {
    for (std::size_t i = from; i < to && *alive; ++i)
      (*group)[i]->applied();
  });
}

/// Hands the whole group to the loop, which lets go of it last: what completions hold is destroyed there.
void DatabaseThread::conclude(std::shared_ptr<Group> group) {
  loop_.post([this, group = std::move(group), failure = failure_, alive = alive_] {
    if (*alive) trouble_ = failure;
    for (const auto& operation : *group) {
      if (*alive && !operation->announced) operation->applied();
      if (*alive) operation->durable();
    }
  });
}

}  // namespace katana::db
