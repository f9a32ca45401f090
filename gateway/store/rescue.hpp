#pragma once

#include <cstdint>
#include <string>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

/// Whole stores as files: one that no gateway has open, for `katana doctor` and `katana restore`, and the
/// copies beside it. Blocks.
namespace katana::gateway {

struct StoreSummary {
  std::int64_t answered = 0;  ///< questions with their answer
  std::int64_t open = 0;      ///< questions without
  std::int64_t members = 0;
  std::int64_t newest_turn = 0;  ///< its id
  Wall newest{};                 ///< when it was settled; epoch: none was
};

/// Reads the file through. An error says what is wrong and the mend; a damaged file is left as it is.
Result<StoreSummary> examine_store(const std::string& path);

/// Puts a backup in the place of the store. What is there already stays unless `replace`, and then beside it,
/// as PATH.replaced-N. Returns what was done, in words; an error that is Rejected for the store that is there
/// lists what would be lost.
Result<std::string> restore_store(const std::string& backup, const std::string& path, bool replace);

/// Removes the copies that earlier migrations (PATH.before-N) and restores (PATH.replaced-N) left beside the
/// store and that are older than `before`: they hold people's words. How many; what can't be removed is
/// logged.
std::uint64_t remove_old_copies(const std::string& path, Wall before);

}  // namespace katana::gateway
