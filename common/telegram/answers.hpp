#pragma once

#include <string>

#include "common/telegram/bot_api.hpp"

/// What Telegram answered: `{"ok":true,"result":…}` or
/// `{"ok":false,"error_code":…,"description":…,"parameters":…}`. Reads only the fields that we use. Pure; any
/// bytes.
namespace katana::telegram {

ApiResult<bool> read_done(const net::HttpResponse& answer);
ApiResult<std::int64_t> read_message_id(const net::HttpResponse& answer);
ApiResult<BotUser> read_user(const net::HttpResponse& answer);
ApiResult<std::int64_t> read_pending(const net::HttpResponse& answer);
/// The answer's text itself, if it says `ok`.
ApiResult<RawUpdates> read_updates(const net::HttpResponse& answer);

}  // namespace katana::telegram
