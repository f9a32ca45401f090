#include <algorithm>

#include "common/core/fail_point.hpp"
#include "common/core/id.hpp"
#include "gateway/outbound/outbox_impl.hpp"

// What the store must learn, and when. Two of these gate what users see: a part's text is put into its
// message only when the message's id is durable (else a crash would show the text twice), and a reply is sent
// only when `reply_attempting` is. `on_delivered` comes with `applied`: what follows from it may start at
// once, and should the commit be lost, a start from the store repeats an edit that Telegram calls "not
// modified".
namespace katana::gateway {
namespace {

/// Its user was forgotten in the meantime, for one.
constexpr std::string_view kNoRow = "the store knows nothing of it";

}  // namespace

void Outbox::Impl::submit(const std::shared_ptr<StoreTask>& task) {
  ++store_tasks_;
  Done<Nothing> done;
  done.applied = guarded([this, task](const Result<Nothing>& r) {
    if (!r || !task->applied) return;
    task->applied();
    run();
  });
  done.durable = guarded([this, task](const Result<Nothing>& r) {
    if (r) {
      --store_tasks_;
      if (task->durable) task->durable();
    } else if (r.error().code == Code::Rejected) {
      --store_tasks_;
      report(r.error(), task->doing);
      if (task->refused) task->refused();
    } else {
      report(r.error(), task->doing);
      store_later_.emplace(clock_.mono() + task->backoff.next(random_u64()), task);  // still counted
    }
    run();
  });
  task->run(std::move(done));
}

void Outbox::Impl::add_row(Answer& answer, std::size_t part) {
  answer.parts.push_back({});
  answer.parts.back().stored = false;
  const std::int64_t turn_id = answer.slot.turn_id;
  auto task = std::make_shared<StoreTask>();
  task->doing = "store add_part";
  auto row = std::make_shared<std::int64_t>(0);
  task->run = [this, turn_id, part, row](Done<Nothing> done) {
    Done<AnswerPart> typed;
    typed.durable = [row, durable = std::move(done.durable)](Result<AnswerPart> r) {
      if (r) *row = r->outbox_id;
      durable(r ? Result<Nothing>(Nothing{}) : Result<Nothing>(fail(r.error())));
    };
    store_.add_part(turn_id, static_cast<int>(part) + 1, std::move(typed));
  };
  task->durable = [this, turn_id, part, row] {
    Answer* a = answer_of(turn_id);
    if (a == nullptr || part >= a->parts.size()) return;
    a->parts[part].outbox_id = *row;
    a->parts[part].stored = true;
    refresh(*a->lane);
  };
  task->refused = [this, turn_id,
                   part] {  // more parts than the store allows, or it knows nothing of the turn
    Answer* a = answer_of(turn_id);
    if (a == nullptr) return;
    a->parts.resize(part);
    a->most_parts = part;
    if (part == 0) abandon(*a, std::string(kNoRow));
    refresh(*a->lane);
  };
  submit(task);
}

void Outbox::Impl::part_sent(Answer& answer, std::size_t part) {
  answer.parts[part].stored = false;
  const std::int64_t turn_id = answer.slot.turn_id;
  const std::int64_t outbox_id = answer.parts[part].outbox_id;
  const std::int64_t message_id = answer.parts[part].message_id;
  auto task = std::make_shared<StoreTask>();
  task->doing = "store part_sent";
  task->run = [this, outbox_id, message_id](Done<Nothing> done) {
    store_.part_sent(outbox_id, message_id, std::move(done));
  };
  task->durable = [this, turn_id, part, message_id] {
    fail_point("send_committed");
    Answer* a = answer_of(turn_id);
    if (a == nullptr || part >= a->parts.size()) return;
    if (a->parts[part].message_id == message_id || a->parts[part].message_id == 0)
      a->parts[part].stored = true;
    refresh(*a->lane);
  };
  task->refused = [this, turn_id] {
    Answer* a = answer_of(turn_id);
    if (a == nullptr) return;
    abandon(*a, std::string(kNoRow));
    refresh(*a->lane);
  };
  submit(task);
}

/// A message id that means another message from now on: a start from the store must not edit that. Not
/// repeated: by then the row may hold the new message.
void Outbox::Impl::forget_message(std::int64_t outbox_id) {
  if (outbox_id != 0) store_.part_sent(outbox_id, 0, {});
}

void Outbox::Impl::deliver(Answer& answer) {
  answer.delivering = true;
  const std::int64_t turn_id = answer.slot.turn_id;
  const bool cut = answer.abandoned.empty() && answer.composer.count() > answer.most_parts;
  const std::string abandoned = cut                        ? "too long: its end is not shown"
                                : answer.abandoned.empty() ? answer.refusal
                                                           : answer.abandoned;
  auto task = std::make_shared<StoreTask>();
  task->doing = "store answer_delivered";
  task->run = [this, turn_id, abandoned](Done<Nothing> done) {
    store_.answer_delivered(turn_id, abandoned, std::move(done));
  };
  const auto tell = [this, turn_id, abandoned] {
    Answer* a = answer_of(turn_id);
    if (a == nullptr || std::exchange(a->told, true)) return;
    if (events_.on_delivered) told_.push_back([=, this] { events_.on_delivered(turn_id, abandoned); });
  };
  task->applied = tell;
  task->durable = [this, turn_id, tell] {
    fail_point("delivered");
    tell();
    Answer* a = answer_of(turn_id);
    if (a == nullptr) return;
    Lane& lane = *a->lane;
    erase(*a);
    refresh(lane);
  };
  task->refused = task->durable;
  submit(task);
}

void Outbox::Impl::attempt(Lane& lane, const WaitingReply& reply) {
  lane.busy = true;
  auto task = std::make_shared<StoreTask>();
  task->doing = "store reply_attempting";
  task->run = [this, id = reply.outbox_id](Done<Nothing> done) {
    store_.reply_attempting(id, std::move(done));
  };
  task->durable = [this, &lane, id = reply.outbox_id] {  // a busy lane stays
    lane.busy = false;
    if (!lane.first.empty() && lane.first.front().reply && lane.first.front().reply->outbox_id == id) {
      lane.first.front().reply->attempted = true;
    }
    settle(lane);
  };
  task->refused = [this, &lane] {
    lane.busy = false;
    if (!lane.first.empty() && lane.first.front().reply) reply_done(lane, 0, std::string(kNoRow));
    settle(lane);
  };
  submit(task);
}

/// The reply at the lane's head has come to its end.
void Outbox::Impl::reply_done(Lane& lane, std::int64_t message_id, const std::string& abandoned) {
  const std::unique_ptr<WaitingReply> reply = std::move(lane.first.front().reply);
  lane.first.pop_front();
  --replies_;
  if (!reply->row) return;
  auto task = std::make_shared<StoreTask>();
  task->doing = "store reply_done";
  task->run = [this, id = reply->outbox_id, message_id, abandoned](Done<Nothing> done) {
    store_.reply_done(id, message_id, abandoned, std::move(done));
  };
  submit(task);
  if (events_.on_reply_done) {
    told_.push_back([this, id = reply->outbox_id, abandoned] { events_.on_reply_done(id, abandoned); });
  }
}

/// A pause that Telegram asked for. Should the store need several tries, only what is left of it counts.
void Outbox::Impl::keep_pause(std::int64_t chat_id, Mono until) {
  auto task = std::make_shared<StoreTask>();
  task->doing = "store pause";
  task->run = [this, chat_id, until](Done<Nothing> done) {
    const auto left = std::chrono::ceil<Millis>(until - clock_.mono());
    store_.pause(chat_id, std::max(left, Millis{0}), std::move(done));
  };
  submit(task);
}

/// What was asked for after it may follow.
void Outbox::Impl::first_sent(Answer& answer) {
  answer.first_sent = true;
  std::erase_if(answer.lane->first, [&](const FirstSend& f) { return f.answer == &answer; });
}

/// Its placeholder is gone: it is sent again in its turn.
void Outbox::Impl::stepped_aside(Answer& answer) {
  forget_message(answer.parts.front().outbox_id);
  answer.lost(0);
  answer.first_sent = false;
  answer.aside = true;
  answer.since = clock_.mono();
  const auto& all = answer.lane->answers;
  auto& first = answer.lane->first;
  const auto mine = std::find(all.begin(), all.end(), &answer);
  const auto after = std::find_if(first.begin(), first.end(), [&](const FirstSend& f) {
    return f.answer != nullptr && std::find(mine, all.end(), f.answer) != all.end();
  });
  first.insert(after, FirstSend{&answer});
}

void Outbox::Impl::abandon(Answer& answer, std::string reason) {
  if (answer.abandoned.empty()) answer.abandoned = std::move(reason);
  std::erase_if(answer.lane->first, [&](const FirstSend& f) { return f.answer == &answer; });
}

}  // namespace katana::gateway
