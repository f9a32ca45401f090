#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <termios.h>

namespace sandbox {

/// The terminal on standard input and output: keys come one by one while it lives, and its lowest lines are
/// redrawn in place. Without a terminal on both, lines are only written.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool interactive() const { return interactive_; }
  /// That a line may take, so that none is broken by the terminal itself.
  std::size_t columns() const;
  /// Writes `settled` for good, then `live` below it, in place of what was live before; the cursor stays at
  /// the end. Of what is higher than the screen, the lower part is shown.
  void draw(const std::vector<std::string>& settled, std::vector<std::string> live);

 private:
  static void write(const std::string& bytes);
  bool interactive_ = false;
  termios before_{};
  std::size_t drawn_ = 0;
  std::vector<std::string> last_;
};

}  // namespace sandbox
