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
  /// Whether it carries notices of that kind at all. That somebody acknowledged an incident is for programs
  /// that keep a state of their own: people see it where they did it.
  [[nodiscard]] virtual bool wants(NoticeKind kind) const { return kind != NoticeKind::Acknowledged; }
  /// Its own limit: so many notices at once, and then one every so often.
  struct Pace {
    int burst;
    Millis every;
  };
  [[nodiscard]] virtual Pace pace() const = 0;
  /// `thread` is the receipt's of the incident's first notice; empty for the first.
  virtual void send(const Notice& notice, const std::string& thread,
                    std::function<void(Result<Receipt>)> then) = 0;
  /// Whether it would take a notice now, as far as that can be known without sending one. May be asked while
  /// `send` is under way; asked again, the former question is dropped.
  virtual void probe(std::function<void(Result<void>)> then) = 0;
  /// Whether a probe that passes shows that what kept a notice from being taken is over.
  [[nodiscard]] virtual bool probe_proves() const { return false; }
};

}  // namespace katana::watchdog
