#include "gateway/inbound/inbox.hpp"

#include <algorithm>
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"

namespace katana::gateway {
namespace {

/// Updates that go to the store in one operation. A batch of 100 in one piece made every stage wait for the
/// one before; in slices, workers have begun with the first questions while the last ones are stored.
constexpr std::size_t kSlice = 16;

constexpr log::Room kLog{"inbox"};

Opened opened(const Decision& d, const Accepted& a) {
  return Opened{.turn = *a.turn,
                .chat = d.intake.chat,
                .user_id = d.intake.prompt->user_id,
                .question_id = d.intake.prompt->message_id,
                .group = d.intake.prompt->group};
}

/// A question that is to be answered now.
bool asked(const Decision& d, const Accepted& a) {
  return a.turn && !d.intake.prompt->held;
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
  std::size_t open = 0;             ///< slices that aren't durable yet
  Result<void> outcome;             ///< the first failure among the slices
  std::function<void(Result<void>)> then;
};

/// A part of a batch that is accepted in one store operation.
struct Inbox::Slice {
  std::vector<Decision> decisions;
  std::vector<Accepted> dispatched;  ///< what `applied` brought, as far as it was dispatched on
  std::size_t questions = 0;         ///< of them, those counted in `undispatched_`
};

Inbox::Inbox(const Chat& chat, Store& store, const Clock& clock, config::LogMessages log_messages,
             InboxEvents events)
    : chat_(chat), store_(store), clock_(clock), log_messages_(log_messages), events_(std::move(events)) {}

void Inbox::accept(std::vector<Update> updates, std::function<void(Result<void>)> then) {
  fail_point("received");
  auto batch = std::make_shared<Batch>();
  batch->choices.resize(updates.size());
  batch->updates = std::move(updates);
  batch->then = std::move(then);
  gather_choices(batch, 0);
}

/// Few updates need the standing choice (/model): each is asked for in turn, then the batch goes on.
void Inbox::gather_choices(const std::shared_ptr<Batch>& batch, std::size_t from) {
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
  batch->open = (batch->updates.size() + kSlice - 1) / kSlice;
  for (std::size_t i = 0; i < batch->updates.size(); i += kSlice) {
    commit(decide(*batch, i, std::min(i + kSlice, batch->updates.size())), batch);
  }
}

std::shared_ptr<Inbox::Slice> Inbox::decide(const Batch& batch, std::size_t from, std::size_t to) {
  const Wall now = clock_.wall();
  auto slice = std::make_shared<Slice>();
  slice->decisions.reserve(to - from);
  for (std::size_t i = from; i < to; ++i) {
    Decision d = chat_.decide(batch.updates[i], batch.choices[i], now);
    const bool asks = d.intake.prompt && !d.intake.prompt->held;
    const bool full = undispatched_ >= events_.room();
    if (d.intake.release_held && full) {
      d.intake.release_held = false;
      d.ignored = "queue_full";
      d.press_text = phrases::queue_full_for_now();
    }
    if (asks && full) {
      chat_.turn_away(d);
    } else if (asks) {
      ++slice->questions;
      ++undispatched_;
    }
    log_incoming(batch.updates[i], d);
    if (d.knocked)
      store_.put_member(*d.knocked, {});  // committed no later than the reply that shows the code
    slice->decisions.push_back(std::move(d));
  }
  if (from > 0) slice->decisions.front().intake.follows = batch.updates[from - 1].update_id;
  return slice;
}

void Inbox::commit(const std::shared_ptr<Slice>& slice, const std::shared_ptr<Batch>& batch) {
  std::vector<Intake> intakes;
  intakes.reserve(slice->decisions.size());
  for (const auto& d : slice->decisions)
    intakes.push_back(d.intake);
  store_.accept(std::move(intakes),
                Done<std::vector<Accepted>>{
                    .applied = [this, slice](const Result<std::vector<Accepted>>& a) { applied(*slice, a); },
                    .durable =
                        [this, slice, batch](Result<std::vector<Accepted>> a) {
                          durable(*slice, a);
                          if (!a && batch->outcome) batch->outcome = fail(a.error());
                          if (--batch->open == 0) batch->then(batch->outcome);
                        }});
}

void Inbox::applied(Slice& slice, const Result<std::vector<Accepted>>& accepted) {
  if (!accepted || last_commit_failed_) return;
  slice.dispatched = *accepted;
  dispatch(slice, *accepted);
}

void Inbox::dispatch(Slice& slice, const std::vector<Accepted>& accepted) {
  undispatched_ -= std::exchange(slice.questions, 0);
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    if (asked(slice.decisions[i], accepted[i])) events_.on_applied(opened(slice.decisions[i], accepted[i]));
  }
}

void Inbox::durable(Slice& slice, const Result<std::vector<Accepted>>& accepted) {
  last_commit_failed_ = !accepted;
  if (!accepted) {
    undispatched_ -= std::exchange(slice.questions, 0);
    for (std::size_t i = 0; i < slice.dispatched.size(); ++i) {
      if (asked(slice.decisions[i], slice.dispatched[i]))
        events_.on_lost(opened(slice.decisions[i], slice.dispatched[i]));
    }
    for (const Decision& d : slice.decisions)
      chat_.take_back(d);
    return;
  }
  fail_point("committed");
  if (slice.dispatched.empty()) dispatch(slice, *accepted);
  for (std::size_t i = 0; i < accepted->size(); ++i)
    finish_one(slice.decisions[i], (*accepted)[i]);
}

void Inbox::finish_one(const Decision& d, const Accepted& a) {
  if (a.duplicate) {
    events_.on_duplicate();
    return;
  }
  if (!d.ignored.empty()) events_.on_ignored(d.ignored);
  if (asked(d, a)) events_.on_durable(opened(d, a));
  for (std::size_t r = 0; r < a.reply_ids.size(); ++r) {
    events_.on_reply(d.intake.chat, a.reply_ids[r], d.intake.replies[r]);
  }
  if (a.held_note_id != 0) events_.on_reply(d.intake.chat, a.held_note_id, *d.intake.held_note);
  if (d.press_id) {
    const bool late = d.intake.release_held && a.released.empty();
    events_.on_press(*d.press_id, late ? phrases::nothing_held() : d.press_text);
  }
  for (const OpenTurn& turn : a.released)
    events_.on_released(turn);
  if (d.send_again) events_.on_again(*d.send_again);
  if (d.stop_answer) events_.on_stop(d.intake.chat);
  if (d.intake.moved_from != 0) events_.on_chat_moved(d.intake.moved_from, d.intake.chat.chat_id);
  if (d.chat_gone) events_.on_chat_gone(d.chat_gone->chat_id);
}

/// A line for each message that is meant for us; of a group's other talk only that there was some, at debug.
void Inbox::log_incoming(const Update& update, const Decision& d) const {
  if (const auto* m = std::get_if<IncomingMessage>(&update.body)) {
    if (d.ignored == "not_addressed" || d.ignored == "not_a_person" || d.ignored == "foreign_command" ||
        d.ignored == "service_message") {
      kLog.debug("Message in chat {} is not for this bot", m->chat.chat_id);
      return;
    }
    // A stranger's words are nobody's business here; /id is for strangers, too.
    const bool hidden = d.ignored == "stranger" || m->command == "id";
    const std::string text = hidden ? std::string() : log::excerpt(m->text, log_messages_);
    kLog.info("Message received: ChatID={}, UserID={}{}{}{}", m->chat.chat_id, m->from.id,
              d.ignored == "stranger" ? ", not admitted" : "", text.empty() ? "" : ", Text=", text);
  } else if (const auto* p = std::get_if<ButtonPress>(&update.body)) {
    kLog.info("Button pressed: ChatID={}, UserID={}", p->chat.chat_id, p->from.id);
  } else if (const auto* u = std::get_if<UnknownUpdate>(&update.body)) {
    kLog.warn("Update {} skipped: {} ({})", update.update_id,
              u->broken ? "it is broken" : "a kind that isn't handled", u->what);
  }
}

}  // namespace katana::gateway
