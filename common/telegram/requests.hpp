#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/telegram/bot_api.hpp"

/// The JSON bodies of the calls. Pure.
namespace katana::telegram {

std::string get_updates_body(std::int64_t offset, int limit, Seconds timeout);
std::string send_message_body(const OutText& message);
std::string edit_message_body(std::int64_t message_id, const OutText& message);
std::string delete_message_body(std::int64_t chat_id, std::int64_t message_id);
std::string send_draft_body(std::int64_t draft_id, const OutText& message);
std::string typing_body(std::int64_t chat_id, std::int64_t thread_id);
std::string answer_callback_body(const std::string& callback_id, const std::string& text);
std::string commands_body(const std::vector<std::pair<std::string, std::string>>& commands);
std::string webhook_body(const std::string& url, const Secret& secret);

}  // namespace katana::telegram
