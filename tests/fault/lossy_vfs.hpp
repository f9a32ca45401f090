#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace katana::fault {

/// A disk that may lose its power: SQLite's own files (a VFS of ours, registered as the default one) with a
/// memory of what was forced to the disk and what was only written. At any moment it can tell what a machine
/// would find there after its power failed: all that was forced, and of each sector written since then either
/// the old or the new content, in any mixture.
///
/// One at a time; made before the first database is opened and destroyed after the last one is closed. Files
/// are read and written by any thread.
class LossyDisk {
 public:
  /// `on_write` is called after each write, truncation and sync, by the thread that makes it; it may take an
  /// image, nothing else.
  explicit LossyDisk(std::function<void()> on_write);
  ~LossyDisk();
  LossyDisk(const LossyDisk&) = delete;
  LossyDisk& operator=(const LossyDisk&) = delete;

  /// The files as they may be after a loss of power at this moment: content by name.
  using Files = std::map<std::string, std::string>;
  Files image(std::mt19937_64& random);

  /// Times that `name` (a file's last part) was forced to the disk with something to force.
  [[nodiscard]] std::uint64_t syncs(const std::string& name) const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace katana::fault
