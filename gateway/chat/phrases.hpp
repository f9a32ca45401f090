#pragma once

#include <string>
#include <string_view>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

/// Every sentence that the bot says by itself, in one place, so that tone and translations can be kept
/// together. Plain text; callers add formatting.
namespace katana::gateway::phrases {

std::string welcome(std::string_view bot_name, std::string_view provider_label);
std::string help(bool has_claude, bool has_openai);
std::string started_over();
std::string provider_chosen(std::string_view provider_label, std::string_view model_label);
std::string provider_off(std::string_view provider_label);
/// `all`: every model has its button.
std::string model_list_title(std::string_view current_label, bool all);
std::string model_chosen(std::string_view model_label);
std::string model_unknown(std::string_view asked);
std::string ids(std::int64_t user, std::int64_t chat, std::int64_t thread);
std::string pairing(std::string_view code);
std::string not_admitted();
std::string paired(bool admin);
/// To admins: the watchdog is gone (`goodbye`: it was stopped, and stays away); and there is one again.
std::string nobody_watches(bool goodbye);
std::string watched_again(Millis lasted);
std::string only_text();
std::string unknown_command(std::string_view command);
std::string nothing_to_stop();
std::string queue_full();
std::string queue_full_for_now();  ///< of a button, which stays
/// About questions that came in too old: once for all of a conversation's, with its button.
std::string came_late();
std::string answer_now();
std::string nothing_held();
std::string too_long(std::size_t limit_characters);
std::string provider_label(std::string_view provider);

/// What the user reads when a job failed: what happened, what they can do, and the id for the operator.
std::string job_failed(const Error& error, std::string_view provider_label, std::string_view job_id);
/// Two workers died under the question.
/// Telegram takes this answer in no form.
std::string not_shown(std::string_view job_id);
std::string dead_letter(std::string_view job_id);
/// Stands under an answer that broke off.
std::string broken_off(const Error& error, std::string_view provider_label, std::string_view job_id);
std::string cut_at_limit();
std::string cut_by_rules();
std::string refused_by_model();

}  // namespace katana::gateway::phrases
