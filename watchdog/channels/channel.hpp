#pragma once

#include <functional>
#include <string>

#include "common/core/result.hpp"
#include "watchdog/incident/notice.hpp"

namespace katana::watchdog {

/// What the other side said when it took a notice.
struct Receipt {
  std::string said;    ///< for `katana alert-test`: its answer in its words
  std::string thread;  ///< what later notices of the same incident should answer; empty: nothing to keep
};

/// Port: a way to reach people. One notice at a time: `send` is called again only after `then`. Every call
/// ends within a minute or so: a channel has its own time limits. Loop thread only.
class Channel {
 public:
  virtual ~Channel() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// `thread` is the receipt's of the incident's first notice; empty for the first.
  virtual void send(const Notice& notice, const std::string& thread,
                    std::function<void(Result<Receipt>)> then) = 0;
};

}  // namespace katana::watchdog
