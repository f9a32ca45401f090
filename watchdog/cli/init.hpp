#pragma once

#include <string>

#include "common/config/settings.hpp"

namespace katana::watchdog {

/// `katana init`: from a token of @BotFather to a `.env` that works, every answer checked live. Writes `path`
/// (0600) only when all is known; never over a file that is there unless told so. Base URLs come from the
/// environment. The exit status.
int run_init(const std::string& path, bool force);
/// The same for the Debian package: secrets into files of their own that systemd hands out, the rest into
/// lines of /etc/katana/katana.env. For root.
int run_init_installed(bool force);

/// The chat of the newest message in a getUpdates answer that ends with the code, and the offset that
/// confirms all of them.
struct FoundChat {
  std::int64_t chat_id = 0;  ///< 0: none there
  std::int64_t user_id = 0;  ///< who wrote it; 0: Telegram doesn't tell (a channel)
  std::string name;          ///< whose chat it is, for the person at the keyboard alone
  std::int64_t next_offset = 0;
};
Result<FoundChat> find_chat(const std::string& updates_json, std::string_view code);

using NewSettings = std::vector<std::pair<std::string, std::string>>;
/// The file's lines: NAME=value, quoted where needed.
std::string env_lines(const NewSettings& settings);
/// `text`, a file of settings, with these in it: each in place of its own line or its example, or else at the
/// end.
std::string with_settings(const std::string& text, const NewSettings& settings);

}  // namespace katana::watchdog
