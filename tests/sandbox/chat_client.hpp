#pragma once

#include <cstdint>
#include <string>

namespace sandbox {

struct ChatOptions {
  std::string url;
  std::int64_t chat = 1000;
  std::int64_t user = 0;  ///< 0: the chat's own id
  std::string name = "You";
  int companion = 0;  ///< a process without which there is nobody to talk with; 0: none
};

/// A chat in this terminal until the person leaves (0) or the sandbox or the companion does (1). Throws on a
/// bad option.
int run_chat(const ChatOptions& options);

}  // namespace sandbox
