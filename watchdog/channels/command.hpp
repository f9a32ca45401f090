#pragma once

#include <string>
#include <vector>

#include "common/loop/loop.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// ALERT_COMMAND: a program of the operator's that gets each notice as JSON on its standard input. It sees
/// PATH, HOME and LANG of our environment and nothing else; it has kLimit to end with status 0.
class CommandChannel final : public Channel {
 public:
  static constexpr Millis kLimit{30'000};
  /// `command`: the program and its arguments, separated by blanks.
  CommandChannel(loop::Loop& loop, const std::string& command);
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] bool wants(NoticeKind) const override { return true; }
  [[nodiscard]] Pace pace() const override { return {30, Millis{2'000}}; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;
  void probe(std::function<void(Result<void>)> then) override;
  [[nodiscard]] bool probe_proves() const override { return true; }

 private:
  const std::string name_ = "command";
  loop::Loop& loop_;
  std::vector<std::string> argv_;
  loop::Child child_;
  loop::Timer limit_;
};

}  // namespace katana::watchdog
