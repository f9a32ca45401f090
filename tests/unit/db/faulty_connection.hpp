#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/db/connection.hpp"

namespace katana::db {

/// A connection whose commits fail on request: what a failing disk does at the worst moment.
class FaultyConnection final : public Connection {
 public:
  explicit FaultyConnection(std::unique_ptr<Connection> real) : real_(std::move(real)) {}
  const std::optional<Error>& error() const override { return real_->error(); }
  void begin() override { real_->begin(); }
  Result<void> commit() override {
    ++commits;
    if (failures == 0) return real_->commit();
    --failures;
    return fail(Code::Internal, "the disk went away");
  }
  void rollback() override { real_->rollback(); }
  bool has_written() const override { return real_->has_written(); }
  void touch() override { real_->touch(); }
  Result<void> script(const std::string& sql) override { return real_->script(sql); }
  void on_progress(std::function<void()> progress) override { real_->on_progress(std::move(progress)); }
  Result<std::unique_ptr<Copy>> copy_to(const std::string& path) override { return real_->copy_to(path); }
  bool give_back(int pages) override { return real_->give_back(pages); }
  bool upkeep_due(bool busy) const override { return !busy && upkeeps_wanted > 0; }
  void upkeep() override {
    --upkeeps_wanted;
    upkept.set_value();
  }

  Statement* prepare(std::string_view sql) override { return real_->prepare(sql); }

  std::atomic<int> commits = 0;
  std::atomic<int> failures = 0;
  std::atomic<int> upkeeps_wanted = 0;
  std::promise<void> upkept;

 private:
  std::unique_ptr<Connection> real_;
};

}  // namespace katana::db
