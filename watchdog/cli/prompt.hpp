#pragma once

#include <string>

#include "common/core/result.hpp"

namespace katana::watchdog {

/// Questions to whoever types, or to the lines of a script on standard input.
class Prompt {
 public:
  Prompt();
  [[nodiscard]] bool interactive() const { return interactive_; }
  /// The answer without blanks around it. At a terminal a secret isn't shown while it is typed. An error at
  /// the end of the input.
  Result<std::string> ask(const std::string& question, bool secret);

 private:
  bool interactive_;
};

}  // namespace katana::watchdog
