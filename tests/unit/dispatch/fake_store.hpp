#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "tests/unit/store_stub.hpp"

namespace katana::gateway {

/// The part of a Store that dispatch uses, with the real one's rules (compare-and-set on (job, attempt)).
/// Completions wait until `run`, as they do in the real one; `broken` makes every operation fail.
class FakeStore : public StoreStub {
 public:
  bool broken = false;
  bool commits_fail = false;  ///< applied succeeds, durable doesn't
  std::map<std::string, std::uint32_t> attempt;
  std::set<std::string> settled;
  std::vector<Settlement> settlements;
  std::vector<AttemptEnd> ends;
  int leased_deaths = 0;  ///< that came with the last lease

  void run() {
    while (!waiting_.empty())
      step();
  }
  /// One completion, if one waits: `applied` and `durable` are two.
  void step() {
    if (waiting_.empty()) return;
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    next();
  }

  void lease(bus::JobRef job, std::string, std::string, std::string, int deaths,
             Done<LeasedJob> done) override {
    leased_deaths = deaths;
    const bool ok = attempt_of(job.job_id) == job.attempt && !settled.contains(job.job_id);
    finish<LeasedJob>(ok, LeasedJob{.job = job, .turns = {{bus::Speaker::User, "question of " + job.job_id}}},
                      std::move(done));
  }
  void requeue(bus::JobRef job, AttemptEnd end, Done<bus::JobRef> done) override {
    const bool ok = attempt_of(job.job_id) == job.attempt;
    if (ok && !broken && !commits_fail) {
      ++attempt[job.job_id];
      ends.push_back(end);
    }
    finish<bus::JobRef>(ok, bus::JobRef{job.job_id, job.attempt + 1}, std::move(done));
  }
  void settle(Settlement s, Done<Settled> done) override {
    const bool applies = attempt_of(s.job.job_id) == s.job.attempt && !settled.contains(s.job.job_id);
    if (applies && !broken && !commits_fail) {
      settled.insert(s.job.job_id);
      settlements.push_back(s);
    }
    finish<Settled>(true, applies ? Settled::Applied : Settled::Stale, std::move(done));
  }

 private:
  std::uint32_t attempt_of(const std::string& id) { return attempt.try_emplace(id, 1).first->second; }

  template <class T>
  void finish(bool ok, T value, Done<T> done) {
    Result<T> applied = fail(Code::Rejected, "not that attempt");
    if (ok) applied = value;
    if (broken) applied = fail(Code::Internal, "disk full");
    Result<T> durable = applied;
    if (commits_fail) durable = fail(Code::Internal, "commit failed");
    waiting_.push_back([applied, then = std::move(done.applied)]() mutable {
      if (then) then(applied);
    });
    waiting_.push_back([durable, then = std::move(done.durable)] {
      if (then) then(durable);
    });
  }

  std::deque<std::function<void()>> waiting_;
};

}  // namespace katana::gateway
