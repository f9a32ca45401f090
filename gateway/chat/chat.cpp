#include "gateway/chat/chat.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "common/core/text.hpp"
#include "gateway/chat/phrases.hpp"

namespace katana::gateway {
namespace {

/// Prefix of the data of a button that chooses a model.
constexpr std::string_view kModelButton = "model:";
/// Telegram takes 64 bytes of data with a button, and 100 buttons with a message.
constexpr std::size_t kMaxButtonData = 64;
constexpr std::size_t kMaxButtons = 100;
/// Likewise of the outbox's question whether to send a message again.
constexpr std::string_view kAgainButton = "again:";
/// The button under the note about questions that came late.
constexpr std::string_view kAnswerNow = "answer-now";

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

void say(Decision& d, std::int64_t reply_to, std::string text, telegram::Keyboard keyboard = {}) {
  d.intake.replies.push_back(
      Reply{.reply_to = reply_to, .text = std::move(text), .keyboard = std::move(keyboard)});
}

}  // namespace

bool Offer::offers(std::string_view provider) const {
  return (provider == "claude" && claude) || (provider == "openai" && openai);
}

ChatChoice Offer::resolve(const ChatChoice& choice) const {
  ChatChoice c = choice;
  if (!offers(c.provider)) c = ChatChoice{default_provider, {}};
  const auto* model = c.model.empty() ? nullptr : models.find(c.model);
  if (!model || model->provider != c.provider) {
    c.model = c.provider == "claude" ? default_claude_model : default_openai_model;
  }
  return c;
}

std::string Offer::label_of(std::string_view model_id) const {
  const auto* model = models.find(model_id);
  return model && !model->label.empty() ? model->label : std::string(model_id);
}

bool Chat::needs_choice(const Update& update) const {
  if (const auto* m = std::get_if<IncomingMessage>(&update.body))
    return m->command == "model" || m->command == "start";
  return false;
}

Decision Chat::decide(const Update& update, const ChatChoice& choice, Wall now) const {
  Decision d;
  d.intake.update_id = update.update_id;
  d.intake.seen_at = now;
  if (const auto* m = std::get_if<IncomingMessage>(&update.body)) {
    d.intake.chat = m->chat;
    message(*m, choice, now, d);
  } else if (const auto* p = std::get_if<ButtonPress>(&update.body)) {
    d.intake.chat = p->chat;
    press(*p, choice, d);
  } else if (const auto* c = std::get_if<MembershipChange>(&update.body)) {
    if (!c->present) d.chat_gone = c->chat;
    d.ignored = "membership";
  } else if (const auto* s = std::get_if<StopGeneration>(&update.body)) {
    d.intake.chat = s->chat;
    d.stop_answer = true;
  } else if (const auto* u = std::get_if<UnknownUpdate>(&update.body)) {
    d.ignored = u->broken ? "broken" : "unknown_kind";
  } else {
    d.ignored = "edited";
  }
  return d;
}

void Chat::take_back(const Decision& d) const {
  if (d.knocked) access_.unanswered(d.knocked->user_id);
}

bool Chat::addressed(const IncomingMessage& m) const {
  if (m.kind == ChatKind::Private) return true;
  if (!m.command.empty()) return m.command_target.empty() || same_name(m.command_target, offer_.bot_username);
  if (offer_.bot_user_id != 0 && m.reply_to_user == offer_.bot_user_id) return true;
  return std::any_of(m.mentions.begin(), m.mentions.end(),
                     [&](const std::string& name) { return same_name(name, offer_.bot_username); });
}

void Chat::message(const IncomingMessage& m, const ChatChoice& choice, Wall now, Decision& d) const {
  if (m.moved_to != 0 || m.moved_from != 0) {
    d.intake.moved_from = m.moved_to != 0 ? m.chat.chat_id : m.moved_from;
    d.intake.chat = {m.moved_to != 0 ? m.moved_to : m.chat.chat_id, 0};
    d.ignored = "service_message";
    return;
  }
  if (m.kind == ChatKind::Channel || m.from.is_bot || m.from.id == 0) {
    d.ignored = "not_a_person";
    return;
  }
  if (m.service) {
    d.ignored = "service_message";
    return;
  }
  if (!addressed(m)) {
    d.ignored = "not_addressed";
    return;
  }
  const std::int64_t reply_to = m.kind == ChatKind::Private ? 0 : m.message_id;
  if (m.command == "id") {
    say(d, reply_to, phrases::ids(m.from.id, m.chat.chat_id, m.chat.thread_id));
    return;
  }
  if (!access_.admitted(m.from.id)) {
    d.ignored = "stranger";
    if (m.kind != ChatKind::Private) return;
    if (auto knock = access_.knock(m.from.id, now)) {
      say(d, reply_to, knock->answer);
      d.knocked = std::move(knock->member);
    }
    return;
  }
  if (!m.command.empty()) return command(m, choice, d);
  const std::string_view question = text::trim(m.text);
  if (question.empty()) {
    say(d, reply_to, phrases::only_text());
    return;
  }
  if (text::utf16_length(question) > kMaxPrompt) {
    say(d, reply_to, phrases::too_long(kMaxPrompt));
    return;
  }
  d.intake.prompt = Prompt{.user_id = m.from.id,
                           .message_id = m.message_id,
                           .text = std::string(question),
                           .group = m.kind == ChatKind::Group,
                           .asked_at = m.date,
                           .held = m.age > offer_.max_age};
  if (d.intake.prompt->held) {
    d.intake.held_note = Reply{
        .reply_to = reply_to,
        .text = phrases::came_late(),
        .keyboard = {{telegram::Button{.text = phrases::answer_now(), .data = std::string(kAnswerNow)}}}};
  }
}

void Chat::turn_away(Decision& d) const {
  const std::int64_t reply_to = d.intake.prompt->group ? d.intake.prompt->message_id : 0;
  d.intake.prompt.reset();
  d.ignored = "queue_full";
  say(d, reply_to, phrases::queue_full());
}

void Chat::command(const IncomingMessage& m, const ChatChoice& choice, Decision& d) const {
  const std::int64_t reply_to = m.kind == ChatKind::Private ? 0 : m.message_id;
  if (m.command == "start") {
    const auto c = offer_.resolve(choice);
    say(d, reply_to, phrases::welcome(offer_.bot_name, phrases::provider_label(c.provider)));
  } else if (m.command == "help") {
    say(d, reply_to, phrases::help(offer_.claude, offer_.openai));
  } else if (m.command == "new") {
    d.intake.change = ChatChange{.start_over = true};
    say(d, reply_to, phrases::started_over());
  } else if (m.command == "claude" || m.command == "openai") {
    choose_provider(m.command, d, reply_to);
  } else if (m.command == "model") {
    m.arguments.empty() ? show_models(choice, d, reply_to) : choose_model(m.arguments, d, reply_to);
  } else if (m.command == "stop") {
    d.stop_answer = true;
  } else if (m.kind == ChatKind::Private || !m.command_target.empty()) {
    say(d, reply_to, phrases::unknown_command(text::shorten(m.command, 40)));
  } else {
    d.ignored = "foreign_command";  // in a group it may be another bot's
  }
}

void Chat::choose_provider(const std::string& provider, Decision& d, std::int64_t reply_to) const {
  if (!offer_.offers(provider))
    return say(d, reply_to, phrases::provider_off(phrases::provider_label(provider)));
  d.intake.change = ChatChange{.provider = provider, .model = std::string()};
  const auto c = offer_.resolve({provider, {}});
  say(d, reply_to, phrases::provider_chosen(phrases::provider_label(provider), offer_.label_of(c.model)));
}

void Chat::show_models(const ChatChoice& choice, Decision& d, std::int64_t reply_to) const {
  const auto current = offer_.resolve(choice);
  telegram::Keyboard keyboard;
  bool all = true;
  for (const auto& model : offer_.models.models) {
    if (!offer_.offers(model.provider)) continue;
    if (kModelButton.size() + model.id.size() > kMaxButtonData || keyboard.size() == kMaxButtons) {
      all = false;
      continue;
    }
    const std::string mark = model.id == current.model ? "✓ " : "";
    keyboard.push_back({telegram::Button{.text = mark + offer_.label_of(model.id),
                                         .data = std::string(kModelButton) + model.id}});
  }
  say(d, reply_to, phrases::model_list_title(offer_.label_of(current.model), all), std::move(keyboard));
}

void Chat::choose_model(const std::string& asked, Decision& d, std::int64_t reply_to) const {
  const auto* model = offer_.models.find(asked);
  if (!model || !offer_.offers(model->provider)) {
    return say(d, reply_to, phrases::model_unknown(text::shorten(text::one_line(asked), 60)));
  }
  d.intake.change = ChatChange{.provider = model->provider, .model = model->id};
  say(d, reply_to, phrases::model_chosen(offer_.label_of(model->id)));
}

void Chat::press(const ButtonPress& p, const ChatChoice&, Decision& d) const {
  d.press_id = p.id;
  if (!access_.admitted(p.from.id)) {
    d.ignored = "stranger";
    return;
  }
  const std::string_view data = p.data;
  if (data.starts_with(kModelButton)) {
    choose_model(std::string(data.substr(kModelButton.size())), d, 0);
  } else if (data == kAnswerNow) {
    d.intake.release_held = true;
  } else if (data.starts_with(kAgainButton)) {
    const std::string_view id = data.substr(kAgainButton.size());
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
    if (error == std::errc{} && end == id.data() + id.size()) d.send_again = number;
  } else {
    d.ignored = "unknown_button";
  }
}

}  // namespace katana::gateway
