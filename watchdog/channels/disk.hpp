#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "common/core/result.hpp"
#include "common/loop/loop.hpp"

namespace katana::watchdog {

/// The watchdog's thread for files: an fsync can take a second, and judging must not wait for it. Work runs
/// in the order it was given; its result comes back on the loop. Destroying it finishes what was given and
/// drops the results still on their way. The lock guards the list of work alone.
class Disk {
 public:
  using Work = std::function<Result<void>()>;
  explicit Disk(loop::Loop& loop);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  void run(Work work, std::function<void(Result<void>)> then = {});

 private:
  struct Item {
    Work work;
    std::function<void(Result<void>)> then;
  };
  void serve();

  loop::Loop& loop_;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
  std::mutex lock_;
  std::condition_variable more_;
  std::deque<Item> items_;
  bool ending_ = false;
  std::thread thread_;
};

/// Writes a file so that after a crash it is there whole or not at all: beside it, fsync, rename, fsync of
/// the directory. Mode 0600.
Result<void> write_durably(const std::string& path, std::string_view bytes);
Result<void> remove_durably(const std::string& path);
/// Reads at most `limit` bytes; a longer file is an error.
Result<std::string> read_whole(const std::string& path, std::size_t limit);

}  // namespace katana::watchdog
