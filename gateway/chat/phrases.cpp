#include "gateway/chat/phrases.hpp"

namespace katana::gateway::phrases {
namespace {

/// `40 s`, `12 min`, `3 h 5 min`
std::string span(Millis time) {
  const auto seconds = std::chrono::duration_cast<Seconds>(time).count();
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds % 3600 / 60) + " min";
}

}  // namespace

std::string provider_label(std::string_view provider) {
  if (provider == "claude") return "Claude";
  if (provider == "openai") return "OpenAI";
  return std::string(provider);
}

std::string welcome(std::string_view bot_name, std::string_view label) {
  return "Hello, I am " + std::string(bot_name) + ". Write me anything: " + std::string(label) +
         " answers. /help shows what else I can do.";
}

std::string help(bool has_claude, bool has_openai) {
  std::string text =
      "Write a message and the answer grows here.\n\n/new – start over: I forget what was said before\n";
  if (has_claude && has_openai) text += "/claude – let Claude answer\n/openai – let OpenAI answer\n";
  text +=
      "/model – see or choose the model\n/stop – stop the answer that is being written\n/id – your "
      "ids\n/help – this "
      "text";
  return text;
}

std::string started_over() {
  return "A new conversation: what was said before is no longer told to the model.";
}

std::string provider_chosen(std::string_view label, std::string_view model_label) {
  return std::string(label) + " answers from now on (" + std::string(model_label) + ").";
}

std::string provider_off(std::string_view label) {
  return std::string(label) + " isn't set up on this bot. Ask its operator, or go on as before.";
}

std::string model_list_title(std::string_view current, bool all) {
  return "The model is " + std::string(current) + ". Choose another one" +
         (all ? ":" : ", or write /model and the name of one that isn't shown:");
}

std::string model_chosen(std::string_view label) {
  return std::string(label) + " answers from now on.";
}

std::string model_unknown(std::string_view asked) {
  return "I know no model \"" + std::string(asked) + "\". /model shows those that I do know.";
}

std::string ids(std::int64_t user, std::int64_t chat, std::int64_t thread) {
  std::string text = "User: " + std::to_string(user) + "\nChat: " + std::to_string(chat);
  if (thread != 0) text += "\nTopic: " + std::to_string(thread);
  return text;
}

std::string pairing(std::string_view code) {
  return "This bot is private. Give its operator this code to be let in: " + std::string(code) +
         "\nThey run: katana allow " + std::string(code);
}

std::string not_admitted() {
  return "This bot is private, and you are not on its list. Ask its operator.";
}

std::string paired(bool admin) {
  return admin ? "You are in, and you are this bot's admin. Write me anything."
               : "You are in. Write me anything.";
}

std::string nobody_watches(bool goodbye) {
  return std::string("Nobody watches this bot any more: its watchdog ") +
         (goodbye ? "was stopped a minute ago and didn't come back"
                  : "has died, hangs, or can't be reached") +
         ". Questions are still answered, but until it is back nobody is told when something breaks, and "
         "what "
         "dies may stay dead. Please see to it: katana doctor, and the watchdog's log.";
}

std::string watched_again(Millis lasted) {
  return "This bot is watched again. Nobody watched it for " + span(lasted) + ".";
}

std::string only_text() {
  return "I can read text messages only so far. Please write what you want to know as text.";
}

std::string unknown_command(std::string_view command) {
  return "I don't know /" + std::string(command) + ". /help shows what I do know.";
}

std::string nothing_to_stop() {
  return "There is no answer under way.";
}

std::string queue_full() {
  return "Too many questions wait for an answer just now, so I didn't take this one. Please ask again in a "
         "few "
         "minutes.";
}

std::string queue_full_for_now() {
  return "Too many questions wait just now. Please press again in a few minutes.";
}

std::string came_late() {
  return "I was away, and what you wrote meanwhile reaches me late. Do you still want an answer?";
}

std::string answer_now() {
  return "Answer now";
}

std::string nothing_held() {
  return "Nothing of yours waits any more.";
}

std::string too_long(std::size_t limit) {
  return "That message is too long for me: at most " + std::to_string(limit) +
         " characters. Please send it in parts.";
}

namespace {

std::string reason(const Error& error, std::string_view label) {
  const std::string who(label);
  switch (error.code) {
    case Code::Network:
      return who + " could not be reached. Please ask again in a moment.";
    case Code::Timeout:
      return who + " took too long. Please ask again, perhaps with a smaller question.";
    case Code::RateLimited:
      return who + " gets too many requests just now. Please ask again in a minute.";
    case Code::Overloaded:
      return who + " is overloaded just now. Please ask again in a minute.";
    case Code::Auth:
      return who + " refuses this bot's key. The operator has to mend it; they can see it in the log.";
    case Code::Quota:
      return "The credit at " + who + " is used up. The operator has to refill it.";
    case Code::Rejected:
      return who + " refused the request. Try other words, or /new to start over.";
    case Code::Malformed:
      return who + " sent something that can't be read. Please ask again.";
    case Code::Cancelled:
      return "Stopped.";
    case Code::Internal:
      return "Something went wrong here. Please ask again; if it happens again, tell the operator.";
  }
  return {};
}

std::string with_id(std::string text, const Error& error, std::string_view job_id) {
  if (error.code == Code::Cancelled) return text;
  return text + "\n(id " + std::string(job_id) + ")";
}

}  // namespace

std::string job_failed(const Error& error, std::string_view label, std::string_view job_id) {
  if (error.code == Code::Cancelled) return "⏹ Stopped.";
  return with_id("⚠️ " + reason(error, label), error, job_id);
}

std::string not_shown(std::string_view job_id) {
  return "⚠️ Telegram doesn't take what stood here. Please ask again in other words.\n(id " +
         std::string(job_id) + ")";
}

std::string dead_letter(std::string_view job_id) {
  return "⚠️ Something broke here twice over this question, so I don't try it a third time. The operator "
         "is "
         "told and can try it again; or ask in other words.\n(id " +
         std::string(job_id) + ")";
}

std::string broken_off(const Error& error, std::string_view label, std::string_view job_id) {
  if (error.code == Code::Cancelled) return "\n\n⏹ Stopped.";
  return with_id("\n\n⚠️ The answer broke off. " + reason(error, label), error, job_id);
}

std::string cut_at_limit() {
  return "\n\n✂️ The answer reached its length limit. Write \"go on\" for the rest.";
}
std::string cut_by_rules() {
  return "\n\n✂️ The provider's rules ended the answer here. Other words may go further.";
}
std::string refused_by_model() {
  return "⚠️ The model declined to answer this. Try other words.";
}

}  // namespace katana::gateway::phrases
