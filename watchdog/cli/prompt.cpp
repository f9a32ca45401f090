#include "watchdog/cli/prompt.hpp"

#include <cstdio>
#include <iostream>

#include <termios.h>
#include <unistd.h>

#include "common/core/text.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kLongest = 4096;

/// Switches the terminal's echo off for as long as it lives. What was typed ahead stays: a quick hand, or a
/// paste, loses nothing.
class Unseen {
 public:
  explicit Unseen(bool wanted) : on_(wanted && tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!on_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
  }
  ~Unseen() {
    if (!on_) return;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
    std::fputs("\n", stdout);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool on_;
};

}  // namespace

Prompt::Prompt() : interactive_(isatty(STDIN_FILENO) == 1) {}

Result<std::string> Prompt::ask(const std::string& question, bool secret) {
  // Before the question: whoever answers the moment they see it is not shown either.
  const Unseen unseen(secret && interactive_);
  std::fputs((question + (interactive_ ? " " : "\n")).c_str(), stdout);
  std::fflush(stdout);
  std::string line;
  if (!std::getline(std::cin, line)) return fail(Code::Cancelled, "the input ended here");
  if (line.size() > kLongest) return fail(Code::Malformed, "an answer of more than 4096 characters");
  return std::string(text::trim(line));
}

}  // namespace katana::watchdog
