#include "gateway/inbound/inbox.hpp"

#include <utility>

#include "common/log/log.hpp"

namespace katana::gateway {
namespace {

spdlog::logger& logger() {
  static auto log = log::room("inbox");
  return *log;
}

Opened opened(const Decision& d, const Accepted& a) {
  return Opened{.turn = *a.turn,
                .chat = d.intake.chat,
                .user_id = d.intake.prompt->user_id,
                .question_id = d.intake.prompt->message_id,
                .group = d.intake.prompt->group};
}

ChatKey chat_of(const Update& u) {
  if (const auto* m = std::get_if<IncomingMessage>(&u.body)) return m->chat;
  return {};
}

}  // namespace

/// A batch on its way: it lives until its last completion, held by the callbacks.
struct Inbox::Batch {
  std::vector<Update> updates;
  std::vector<ChatChoice> choices;  ///< one an update; filled for those that need it
  std::vector<Decision> decisions;
  std::vector<Accepted> dispatched;  ///< what `applied` brought, as far as it was dispatched on
  std::function<void(Result<void>)> then;
};

Inbox::Inbox(const Chat& chat, Store& store, const Clock& clock, config::LogMessages log_messages,
             InboxEvents events)
    : chat_(chat), store_(store), clock_(clock), log_messages_(log_messages), events_(std::move(events)) {}

void Inbox::accept(std::vector<Update> updates, std::function<void(Result<void>)> then) {
  auto batch = std::make_shared<Batch>();
  batch->choices.resize(updates.size());
  batch->updates = std::move(updates);
  batch->then = std::move(then);
  gather_choices(std::move(batch), 0);
}

/// Few updates need the standing choice (/model): each is asked for in turn, then the batch goes on.
void Inbox::gather_choices(std::shared_ptr<Batch> batch, std::size_t from) {
  for (std::size_t i = from; i < batch->updates.size(); ++i) {
    if (!chat_.needs_choice(batch->updates[i])) continue;
    const ChatKey chat = chat_of(batch->updates[i]);
    store_.choice(chat, Done<ChatChoice>{.durable = [this, batch, i](Result<ChatChoice> choice) {
                    if (!choice) return batch->then(fail(choice.error()));
                    batch->choices[i] = std::move(*choice);
                    gather_choices(batch, i + 1);
                  }});
    return;
  }
  decide(batch);
  commit(batch);
}

void Inbox::decide(const std::shared_ptr<Batch>& batch) {
  const Wall now = clock_.wall();
  batch->decisions.reserve(batch->updates.size());
  for (std::size_t i = 0; i < batch->updates.size(); ++i) {
    Decision d = chat_.decide(batch->updates[i], batch->choices[i], now);
    log_incoming(batch->updates[i], d);
    if (d.intake.prompt && events_.refuse) {
      if (std::string why = events_.refuse(*d.intake.prompt); !why.empty()) {
        d.intake.replies.push_back(Reply{.reply_to = d.intake.prompt->group ? d.intake.prompt->message_id : 0,
                                         .text = std::move(why)});
        d.intake.prompt.reset();
        d.ignored = "budget";
      }
    }
    if (d.knocked)
      store_.put_member(*d.knocked, {});  // committed no later than the reply that shows the code
    batch->decisions.push_back(std::move(d));
  }
}

void Inbox::commit(const std::shared_ptr<Batch>& batch) {
  std::vector<Intake> intakes;
  intakes.reserve(batch->decisions.size());
  for (const auto& d : batch->decisions)
    intakes.push_back(d.intake);
  store_.accept(
      std::move(intakes),
      Done<std::vector<Accepted>>{
          .applied = [this, batch](const Result<std::vector<Accepted>>& a) { applied(*batch, a); },
          .durable = [this, batch](Result<std::vector<Accepted>> a) { durable(*batch, std::move(a)); }});
}

void Inbox::applied(Batch& batch, const Result<std::vector<Accepted>>& accepted) {
  if (!accepted || last_commit_failed_) return;
  batch.dispatched = *accepted;
  for (std::size_t i = 0; i < accepted->size(); ++i) {
    if ((*accepted)[i].turn) events_.on_applied(opened(batch.decisions[i], (*accepted)[i]));
  }
}

void Inbox::durable(Batch& batch, Result<std::vector<Accepted>> accepted) {
  last_commit_failed_ = !accepted;
  if (!accepted) {
    for (std::size_t i = 0; i < batch.dispatched.size(); ++i) {
      if (batch.dispatched[i].turn) events_.on_lost(opened(batch.decisions[i], batch.dispatched[i]));
    }
    return batch.then(fail(accepted.error()));
  }
  for (std::size_t i = 0; i < accepted->size(); ++i) {
    if (batch.dispatched.empty() && (*accepted)[i].turn)
      events_.on_applied(opened(batch.decisions[i], (*accepted)[i]));
    finish_one(batch.decisions[i], (*accepted)[i]);
  }
  batch.then({});
}

void Inbox::finish_one(const Decision& d, const Accepted& a) {
  if (a.duplicate) {
    events_.on_duplicate();
    return;
  }
  if (!d.ignored.empty()) events_.on_ignored(d.ignored);
  if (a.turn) events_.on_durable(opened(d, a));
  for (std::size_t r = 0; r < a.reply_ids.size(); ++r) {
    events_.on_reply(d.intake.chat, a.reply_ids[r], d.intake.replies[r]);
  }
  if (d.press_id) events_.on_press(*d.press_id, d.press_text);
  if (d.send_again) events_.on_again(*d.send_again);
  if (d.stop_answer) events_.on_stop(d.intake.chat);
  if (d.chat_gone) events_.on_chat_gone(d.chat_gone->chat_id);
}

/// A line for each message that is meant for us; of a group's other talk only that there was some, at debug.
void Inbox::log_incoming(const Update& update, const Decision& d) const {
  if (const auto* m = std::get_if<IncomingMessage>(&update.body)) {
    if (d.ignored == "not_addressed" || d.ignored == "not_a_person" || d.ignored == "foreign_command") {
      logger().debug("Message in chat {} is not for this bot", m->chat.chat_id);
      return;
    }
    // A stranger's words are nobody's business here.
    const std::string text = d.ignored == "stranger" ? std::string() : log::excerpt(m->text, log_messages_);
    logger().info("Message received: ChatID={}, UserID={}{}{}{}", m->chat.chat_id, m->from.id,
                  d.ignored == "stranger" ? ", not admitted" : "", text.empty() ? "" : ", Text=", text);
  } else if (const auto* p = std::get_if<ButtonPress>(&update.body)) {
    logger().info("Button pressed: ChatID={}, UserID={}", p->chat.chat_id, p->from.id);
  } else if (const auto* u = std::get_if<UnknownUpdate>(&update.body)) {
    logger().warn("Update {} skipped: {} ({})", update.update_id,
                  u->broken ? "it is broken" : "a kind that isn't handled", u->what);
  }
}

}  // namespace katana::gateway
