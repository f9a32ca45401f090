#include <algorithm>

#include "common/core/fail_point.hpp"
#include "common/core/id.hpp"
#include "common/core/text.hpp"
#include "gateway/outbound/outbox_impl.hpp"

namespace katana::gateway {
namespace {

constexpr Millis kRetryAfter{5'000};  ///< a 429 that doesn't say
constexpr Seconds kHold{300};         ///< between tries with a refused token
constexpr std::size_t kMaxAsked = 1000;
constexpr int kMaxGone = 3;
constexpr std::string_view kAgain = "again:";

/// Long enough for Telegram; entities that were cut are dropped.
void fit(telegram::OutText& m) {
  if (text::utf16_length(m.text) <= Composer::kMaxUnits) return;
  m.text = text::shorten(m.text, Composer::kMaxUnits);
  const std::size_t units = text::utf16_length(m.text);
  std::erase_if(m.entities, [&](const telegram::Entity& e) { return e.offset + e.length > units; });
}

const char* name_of(const Flight& f) {
  if (f.kind == Flight::Kind::Reply) return "send reply";
  if (f.kind == Flight::Kind::Typing) return "send typing";
  if (f.kind == Flight::Kind::Press) return "answer press";
  switch (f.step.act) {
    case Act::Placeholder:
      return "send placeholder";
    case Act::SendText:
      return "send text";
    case Act::Draft:
      return "send draft";
    case Act::Edit:
      return "edit";
    case Act::Delete:
    case Act::StepAside:
      return "delete";
    default:
      return "call";
  }
}

}  // namespace

// ---- making calls ----

void Outbox::Impl::perform(Lane& lane, const Choice& choice, Mono now) {
  if (choice.what == Choice::What::Reply) return perform_reply(lane, now);
  if (choice.what == Choice::What::Answer) return perform_answer(lane, *choice.answer, choice.step, now);
  Flight flight{&lane, Flight::Kind::Typing, choice.step};
  const std::int64_t thread = lane.typing->first;
  lane.typing.reset();
  const std::uint64_t id = take_off(std::move(flight), Urgency::Soft, now);
  auto call = api_.send_typing(lane.chat_id, thread, guarded([this, id](telegram::ApiResult<bool> r) {
                                 landed(id, r ? nullptr : &r.error(), 0);
                               }));
  if (const auto it = flights_.find(id); it != flights_.end()) it->second.call = std::move(call);
}

std::uint64_t Outbox::Impl::take_off(Flight flight, Urgency urgency, Mono now) {
  flood_.took(flight.lane->chat_id, flight.lane->group(), urgency, now);
  flight.lane->busy = true;
  const std::uint64_t id = next_flight_++;
  flights_.emplace(id, std::move(flight));
  return id;
}

void Outbox::Impl::perform_answer(Lane& lane, Answer& answer, Step step, Mono now) {
  Flight flight{
      &lane, Flight::Kind::Answer, step, answer.slot.turn_id, answer.generation, answer.composer.version()};
  telegram::OutText message;
  ShownPart& part = answer.parts[step.part];
  if (step.act == Act::Placeholder) {
    message = answer.placeholder(step.part);
  } else if (step.act != Act::Delete && step.act != Act::StepAside) {
    flight.frozen = answer.composer.frozen(step.part);
    if (step.part < answer.composer.count())
      message = answer.message(step.part);
    else
      message = answer.placeholder(step.part), message.text.clear();  // a draft that says "thinking"
    flight.text = step.part < answer.composer.count() && !message.text.empty();
    flight.fingerprint = fingerprint_of(message);
    const bool shown = part.fingerprint == flight.fingerprint && step.act == Act::Edit;
    if (shown || (step.act == Act::Edit && message.text.empty())) {  // nothing to say (yet)
      if (flight.frozen)
        part.done = true;
      else
        answer.seen_version = flight.version;
      return refresh(lane);
    }
  }
  if (step.act == Act::SendText && answer.slot.recovered && config_.uncertain == config::Uncertain::Ask) {
    part.uncertain = true;
    first_sent(answer);
    ask_about(lane, part.outbox_id, message.thread_id, {message.reply_to, message.text, message.entities, {}},
              false);
    return refresh(lane);
  }
  if (step.act == Act::Edit) message.reply_to = 0;
  if (step.act == Act::Draft) message.keyboard.clear();
  answer.served = next_turn_++;
  if (step.act == Act::Draft) answer.draft_at = now;
  const std::int64_t message_id = part.message_id;
  const std::uint64_t id = take_off(std::move(flight), step.urgency(), now);
  auto sent = guarded(
      [this, id](telegram::ApiResult<std::int64_t> r) { landed(id, r ? nullptr : &r.error(), r ? *r : 0); });
  auto done = guarded([this, id](telegram::ApiResult<bool> r) { landed(id, r ? nullptr : &r.error(), 0); });
  net::HttpCall call;
  switch (step.act) {
    case Act::Placeholder:
    case Act::SendText:
      call = api_.send_message(message, std::move(sent));
      break;
    case Act::Draft:
      call = api_.send_draft(1 + answer.slot.turn_id % 0x7FFFFFFE, message, std::move(done));
      break;
    case Act::Edit:
      call = api_.edit_message(message_id, message, std::move(done));
      break;
    default:
      call = api_.delete_message(lane.chat_id, message_id, std::move(done));
      break;
  }
  fail_point("send_begun");
  if (const auto it = flights_.find(id); it != flights_.end()) it->second.call = std::move(call);
}

void Outbox::Impl::perform_reply(Lane& lane, Mono now) {
  WaitingReply& reply = *lane.first.front().reply;
  if (reply.row && !reply.attempted) return attempt(lane, reply);
  telegram::OutText message;
  message.chat_id = lane.chat_id;
  message.thread_id = reply.thread_id;
  message.reply_to = reply.reply.reply_to;
  message.text = reply.reply.text;
  if (!reply.plain) message.entities = reply.reply.entities;
  message.keyboard = reply.reply.keyboard;
  fit(message);
  const std::uint64_t id =
      take_off({&lane, Flight::Kind::Reply, {Act::None, 0, Rank::Final}}, Urgency::Must, now);
  auto call = api_.send_message(message, guarded([this, id](telegram::ApiResult<std::int64_t> r) {
                                  landed(id, r ? nullptr : &r.error(), r ? *r : 0);
                                }));
  if (const auto it = flights_.find(id); it != flights_.end()) it->second.call = std::move(call);
}

void Outbox::Impl::perform_press(Mono now) {
  const Press press = std::move(presses_.front());
  presses_.pop_front();
  flood_.took_bot(now);
  const std::uint64_t id = next_flight_++;
  flights_.emplace(id, Flight{nullptr, Flight::Kind::Press});
  auto call = api_.answer_callback(press.id, press.text, guarded([this, id](telegram::ApiResult<bool> r) {
                                     landed(id, r ? nullptr : &r.error(), 0);
                                   }));
  if (const auto it = flights_.find(id); it != flights_.end()) it->second.call = std::move(call);
}

/// Puts the question whether a message arrived in its place; the message itself waits for the button.
void Outbox::Impl::ask_about(Lane& lane, std::int64_t outbox_id, std::int64_t thread_id, Reply reply,
                             bool row) {
  auto question = std::make_unique<WaitingReply>();
  question->outbox_id = outbox_id;
  question->thread_id = thread_id;
  question->reply.reply_to = reply.reply_to;
  question->reply.text = config_.uncertain_note;
  question->reply.keyboard = {{{config_.uncertain_button, std::string(kAgain) + std::to_string(outbox_id)}}};
  question->since = clock_.mono();
  question->row = row;
  question->attempted = true;
  question->asks = true;
  asked_[outbox_id] = std::pair(ChatKey{lane.chat_id, thread_id}, std::move(reply));
  if (asked_.size() > kMaxAsked) asked_.erase(asked_.begin());
  lane.first.push_front({nullptr, std::move(question)});
  ++replies_;
}

// ---- what comes of them ----

void Outbox::Impl::landed(std::uint64_t id, const telegram::ApiError* error, std::int64_t message_id) {
  const auto it = flights_.find(id);
  if (it == flights_.end()) return;
  const Flight flight = std::move(it->second);
  flights_.erase(it);
  if (flight.lane != nullptr) flight.lane->busy = false;
  if (error == nullptr && flight.lane != nullptr) fail_point("send_answered");
  if (error == nullptr || error->http_status != 0) {  // Telegram answered
    ++calls_;
    failures_ = 0;
    bot_backoff_.reset();
  }
  const bool same = error != nullptr && error->refusal == telegram::Refusal::NotModified;
  // Whatever else Telegram finds wrong, it has taken the token.
  if (error == nullptr || error->error.code == Code::Rejected || error->error.code == Code::RateLimited)
    held_ = false;
  if (flight.lane == nullptr) {
    if (error != nullptr) failed_press(*error);
  } else if (error == nullptr || same) {
    flight.lane->backoff.reset();
    succeeded(flight, message_id);
    settle(*flight.lane);
  } else {
    failed(flight, *error);  // may move the lane
  }
  run();
}

void Outbox::Impl::succeeded(const Flight& flight, std::int64_t message_id) {
  Lane& lane = *flight.lane;
  if (flight.kind == Flight::Kind::Typing) return;
  if (flight.kind == Flight::Kind::Reply) return reply_done(lane, message_id, {});
  Answer* answer = answer_of(flight.turn_id);
  if (answer == nullptr || flight.step.part >= answer->parts.size()) return;
  const std::size_t k = flight.step.part;
  ShownPart& part = answer->parts[k];
  if (!answer->first_sent) first_sent(*answer);
  switch (flight.step.act) {
    case Act::Delete:
      answer->parts.pop_back();
      return;
    case Act::StepAside:
      return stepped_aside(*answer);
    case Act::Placeholder:
      part.message_id = message_id;
      part.fingerprint = 0;
      return part_sent(*answer, k);
    case Act::SendText:
      part.message_id = message_id;
      part.fingerprint = flight.fingerprint;
      part_sent(*answer, k);
      break;
    case Act::Edit:
      part.fingerprint = flight.fingerprint;
      break;
    default:
      break;
  }
  if (!flight.frozen)
    answer->seen_version = flight.version;
  else
    part.done = flight.generation == answer->generation;
  if (flight.text && !std::exchange(answer->text_shown, true) && events_.on_first_text) {
    told_.push_back([this, id = flight.turn_id, now = clock_.mono()] { events_.on_first_text(id, now); });
  }
}

void Outbox::Impl::failed(const Flight& flight, const telegram::ApiError& error) {
  using telegram::Refusal;
  Lane& lane = *flight.lane;
  std::string doing = std::string(name_of(flight)) + " in chat " + std::to_string(lane.chat_id);
  if (const Answer* answer = answer_of(flight.turn_id)) doing += ", job " + answer->slot.job_id;
  report(error.error, doing);
  if (error.refusal == Refusal::ChatGone) return chat_gone(lane);
  if (error.refusal == Refusal::Migrated && error.migrate_to != 0) return migrate(lane, error.migrate_to);
  if (error.refusal == Refusal::MessageGone) {
    message_gone(flight);
  } else if (error.refusal == Refusal::BadFormatting) {
    refused(flight, error.error, true);
  } else if (error.error.code == Code::RateLimited) {
    limited(lane.chat_id, error.error.retry_after.value_or(kRetryAfter));
  } else if (error.error.code == Code::Auth) {
    refused_token();
  } else if (error.error.code == Code::Rejected || error.error.code == Code::Quota) {
    refused(flight, error.error, false);
  } else {
    if (!error.error.never_left) maybe_arrived(flight);
    retry_later(flight, error.error);
  }
  settle(lane);
}

void Outbox::Impl::retry_later(const Flight& flight, const Error& error) {
  if (flight.kind == Flight::Kind::Typing) return;
  const Mono now = clock_.mono();
  const bool at_once = error.never_left && flight.lane->backoff.tries() == 0;
  const Millis wait =
      std::max(flight.lane->backoff.next(random_u64()), error.retry_after.value_or(Millis{0}));
  flight.lane->retry_at = at_once ? now : now + wait;
  unreachable(now);
}

void Outbox::Impl::refused_token() {
  held_ = true;
  flood_.hold_bot(clock_.mono() + kHold);
}

/// One more call that came to nothing.
void Outbox::Impl::unreachable(Mono now) {
  if (++failures_ >= 8) flood_.hold_bot(now + bot_backoff_.next(random_u64()));
}

/// It isn't repeated: what the button does is done, and its answer says no more than that. A 429 for a call
/// to no chat is the bot's.
void Outbox::Impl::failed_press(const telegram::ApiError& error) {
  if (error.error.code != Code::Rejected) report(error.error, "answer press");  // it came too late, for one
  if (error.error.code == Code::RateLimited) {
    limited(0, error.error.retry_after.value_or(kRetryAfter));
  } else if (error.error.code == Code::Auth) {
    refused_token();
  } else if (error.http_status == 0) {
    unreachable(clock_.mono());
  }
}

/// 429. The wait must outlive us; the next process would only make it longer.
void Outbox::Impl::limited(std::int64_t chat_id, Millis retry_after) {
  ++rate_limited_;
  const Mono now = clock_.mono();
  if (chat_id == 0) return keep_pause(0, flood_.pause_bot(now + retry_after));
  const Flood::Pauses until = flood_.limited(chat_id, retry_after, now);
  keep_pause(chat_id, until.chat);
  if (until.bot) keep_pause(0, *until.bot);
}

/// The send ended without an answer. A placeholder is simply sent again; text that may stand there already is
/// what KATANA_UNCERTAIN is about.
void Outbox::Impl::maybe_arrived(const Flight& flight) {
  if (config_.uncertain != config::Uncertain::Ask) return;
  Lane& lane = *flight.lane;
  if (flight.kind == Flight::Kind::Reply) {
    WaitingReply& reply = *lane.first.front().reply;
    if (reply.asks) return;
    const std::unique_ptr<WaitingReply> gone = std::move(lane.first.front().reply);
    lane.first.pop_front();
    --replies_;
    ask_about(lane, gone->outbox_id, gone->thread_id, std::move(gone->reply), gone->row);
    return;
  }
  Answer* answer = answer_of(flight.turn_id);
  if (answer == nullptr || flight.kind != Flight::Kind::Answer || flight.step.act != Act::SendText) return;
  ShownPart& part = answer->parts[flight.step.part];
  part.uncertain = true;
  first_sent(*answer);
  const telegram::OutText m = answer->message(flight.step.part);
  ask_about(lane, part.outbox_id, m.thread_id, {m.reply_to, m.text, m.entities, {}}, false);
}

/// Telegram understood and won't: once without formatting, then not at all.
void Outbox::Impl::refused(const Flight& flight, const Error& error, bool formatting) {
  Lane& lane = *flight.lane;
  if (flight.kind == Flight::Kind::Typing) return;
  if (flight.kind == Flight::Kind::Reply) {
    WaitingReply& reply = *lane.first.front().reply;
    if (!reply.plain && !reply.reply.entities.empty())
      reply.plain = true;
    else
      reply_done(lane, 0, "refused: " + error.detail);
    return;
  }
  Answer* answer = answer_of(flight.turn_id);
  if (answer == nullptr || flight.step.part >= answer->parts.size()) return;
  ShownPart& part = answer->parts[flight.step.part];
  switch (flight.step.act) {
    case Act::Delete:
      answer->parts.pop_back();
      return;  // older than 48 h, or no right to: it stays
    case Act::StepAside:
      return stepped_aside(*answer);
    case Act::Draft:
      if (formatting && !part.plain)
        part.plain = true;
      else
        answer->drafts = false;  // not here, or not with this server
      return;
    case Act::Edit:
    case Act::SendText:
      if (!part.plain) {
        part.plain = true;
        return;
      }
      if (!flight.frozen) {  // more text comes, and that may be taken
        part.plain = false;
        answer->seen_version = flight.version;
        return;
      }
      if (!std::exchange(part.excused, true)) {
        answer->refusal = "refused: " + error.detail;
        return;
      }
      break;
    default:
      break;
  }
  abandon(*answer, "refused: " + error.detail);
}

void Outbox::Impl::message_gone(const Flight& flight) {
  Answer* answer = flight.kind == Flight::Kind::Answer ? answer_of(flight.turn_id) : nullptr;
  if (answer == nullptr || flight.step.part >= answer->parts.size()) return;
  if (flight.step.act == Act::Delete) {
    answer->parts.pop_back();
    return;
  }
  if (flight.step.act == Act::StepAside) return stepped_aside(*answer);
  if (++answer->parts[flight.step.part].gone > kMaxGone)
    return abandon(*answer, "its message is deleted each time");
  answer->lost(flight.step.part);
}

/// Blocked, kicked, deleted. What runs goes on running; it has nobody to show it to.
void Outbox::Impl::chat_gone(Lane& lane) {
  for (Answer* answer : lane.answers)
    abandon(*answer, "blocked");
  lane.typing.reset();
  while (!lane.first.empty())
    reply_done(lane, 0, "blocked");  // only replies are left
  if (events_.on_chat_gone) told_.push_back([this, id = lane.chat_id] { events_.on_chat_gone(id); });
  refresh(lane);
}

/// The group has a new id. Messages stay behind: what isn't finished gets new placeholders there.
void Outbox::Impl::migrate(Lane& from, std::int64_t to) {
  const std::int64_t old = from.chat_id;
  if (old == to) return refresh(from);
  auto task = std::make_shared<StoreTask>();
  task->doing = "store migrate_chat";
  task->run = [this, old, to](Done<Nothing> done) { store_.migrate_chat(old, to, std::move(done)); };
  submit(task);
  moved_[old] = to;
  Lane& lane = lane_of(to);
  for (Answer* answer : from.answers) {
    for (const ShownPart& part : answer->parts)
      forget_message(part.outbox_id);
    answer->lane = &lane;
    answer->slot.chat.chat_id = to;
    answer->slot.question_id = 0;
    for (std::size_t k = 0; k < answer->parts.size(); ++k)
      answer->lost(k);
    lane.answers.push_back(answer);
  }
  std::move(from.first.begin(), from.first.end(), std::back_inserter(lane.first));
  lane.typing = from.typing;
  from.answers.clear();
  from.first.clear();
  from.typing.reset();
  forget(from);
  refresh(lane);
  if (events_.on_migrated) told_.push_back([this, old, to] { events_.on_migrated(old, to); });
}

}  // namespace katana::gateway
