#include "gateway/outbound/outbox.hpp"

#include <algorithm>
#include <iterator>

#include "common/core/id.hpp"
#include "gateway/outbound/outbox_impl.hpp"

namespace katana::gateway {
namespace {

constexpr Seconds kTypingWorth{2};
/// A button's answer that comes later tells nobody anything.
constexpr Seconds kPressWorth{15};

}  // namespace

Outbox::Outbox(telegram::BotApi& api, Store& store, const Clock& clock, Alarm& alarm, OutboxConfig config,
               OutboxEvents events)
    : impl_(std::make_unique<Impl>(api, store, clock, alarm, std::move(config), std::move(events))) {}

Outbox::~Outbox() {
  stop();
}

Outbox::Impl::Impl(telegram::BotApi& api, Store& store, const Clock& clock, Alarm& alarm, OutboxConfig config,
                   OutboxEvents events)
    : api_(api),
      store_(store),
      clock_(clock),
      alarm_(alarm),
      config_(std::move(config)),
      events_(std::move(events)),
      flood_(config_.limits, clock_.mono()) {}

// ---- what the gateway asks for ----

void Outbox::open(AnswerSlot slot) {
  Impl& m = *impl_;
  if (m.stopped_ || m.answers_.contains(slot.turn_id)) return;
  if (const auto moved = m.moved_.find(slot.chat.chat_id); moved != m.moved_.end())
    slot.chat.chat_id = moved->second;
  Lane& lane = m.lane_of(slot.chat.chat_id);
  const std::int64_t turn_id = slot.turn_id;
  auto& answer = m.answers_[turn_id];
  answer = std::make_unique<Answer>(std::move(slot), m.config_.streaming, m.clock_.mono());
  answer->lane = &lane;
  lane.answers.push_back(answer.get());
  if (!answer->first_sent) lane.first.push_back({answer.get()});
  m.refresh(lane);
  m.run();
}

void Outbox::grow(std::int64_t turn_id, std::string_view piece) {
  Answer* answer = impl_->answer_of(turn_id);
  if (answer == nullptr || answer->final) return;
  const bool pending = answer->pending();
  answer->composer.append(piece);
  if (pending) return;  // it waits for its turn already
  answer->text_since = impl_->clock_.mono();
  impl_->refresh(*answer->lane);
  impl_->run();
}

void Outbox::replace(std::int64_t turn_id, std::string_view whole) {
  Answer* answer = impl_->answer_of(turn_id);
  if (answer == nullptr || answer->final) return;
  const bool pending = answer->pending();
  if (!answer->composer.assign(whole)) answer->restarted();
  if (!pending) answer->text_since = impl_->clock_.mono();
  impl_->refresh(*answer->lane);
  impl_->run();
}

void Outbox::restart(std::int64_t turn_id) {
  replace(turn_id, {});
}

void Outbox::finish(std::int64_t turn_id, FinalText final) {
  Answer* answer = impl_->answer_of(turn_id);
  if (answer == nullptr || answer->final) return;
  if (!answer->composer.assign(final.text)) answer->restarted();
  answer->composer.finish(final.footer);
  answer->final_keyboard = std::move(final.keyboard);
  answer->final = true;
  if (answer->text_shown)
    answer->since = impl_->clock_.mono();  // else its asker still waits for the first word
  ++impl_->finishing_;
  impl_->refresh(*answer->lane);
  impl_->run();
}

void Outbox::reply(ChatKey chat, std::int64_t outbox_id, Reply reply, bool attempted) {
  Impl& m = *impl_;
  if (m.stopped_) return;
  if (const auto moved = m.moved_.find(chat.chat_id); moved != m.moved_.end()) chat.chat_id = moved->second;
  Lane& lane = m.lane_of(chat.chat_id);
  if (attempted && m.config_.uncertain == config::Uncertain::Ask) {
    m.ask_about(lane, outbox_id, chat.thread_id, std::move(reply), true);
  } else {
    auto waiting = std::make_unique<WaitingReply>();
    waiting->outbox_id = outbox_id;
    waiting->thread_id = chat.thread_id;
    waiting->reply = std::move(reply);
    waiting->since = m.clock_.mono();
    waiting->attempted = attempted;
    lane.first.push_back({nullptr, std::move(waiting)});
    ++m.replies_;
  }
  m.refresh(lane);
  m.run();
}

bool Outbox::again(std::int64_t id) {
  Impl& m = *impl_;
  const auto it = m.asked_.find(id);
  if (m.stopped_ || it == m.asked_.end()) return false;
  auto [chat, reply] = std::move(it->second);
  m.asked_.erase(it);
  if (const auto moved = m.moved_.find(chat.chat_id); moved != m.moved_.end()) chat.chat_id = moved->second;
  auto waiting = std::make_unique<WaitingReply>();
  waiting->outbox_id = id;
  waiting->thread_id = chat.thread_id;
  waiting->reply = std::move(reply);
  waiting->since = m.clock_.mono();
  waiting->row = false;
  Lane& lane = m.lane_of(chat.chat_id);
  lane.first.push_back({nullptr, std::move(waiting)});
  ++m.replies_;
  m.refresh(lane);
  m.run();
  return true;
}

void Outbox::chat_moved(std::int64_t from, std::int64_t to) {
  Impl& m = *impl_;
  if (const auto moved = m.moved_.find(from); moved != m.moved_.end() && moved->second == to) return;
  if (m.stopped_ || from == to) return;
  Lane& lane = m.lane_of(from);
  lane.moving_to = to;
  if (lane.busy) return;  // when that call has ended
  m.settle(lane);
  m.run();
}

void Outbox::typing(ChatKey chat) {
  Impl& m = *impl_;
  if (m.stopped_) return;
  if (const auto moved = m.moved_.find(chat.chat_id); moved != m.moved_.end()) chat.chat_id = moved->second;
  Lane& lane = m.lane_of(chat.chat_id);
  lane.typing = {chat.thread_id, m.clock_.mono() + kTypingWorth};
  m.refresh(lane);
  m.run();
}

void Outbox::answer_press(std::string press_id, std::string text) {
  Impl& m = *impl_;
  if (m.stopped_) return;
  m.presses_.push_back({std::move(press_id), std::move(text), m.clock_.mono()});
  m.run();
}

void Outbox::pause(std::int64_t chat_id, Millis left) {
  Impl& m = *impl_;
  const Mono until = m.clock_.mono() + left;
  if (chat_id == 0)
    m.flood_.pause_bot(until);
  else
    m.flood_.pause_chat(chat_id, until);
}

void Outbox::resume() {
  Impl& m = *impl_;
  m.flood_.resume_bot(m.clock_.mono());
  m.bot_backoff_.reset();
  m.run();
}

OutboxLoad Outbox::load() const {
  const Impl& m = *impl_;
  OutboxLoad load;
  load.answers = m.answers_.size();
  load.chats = m.lanes_.size();
  load.paced = m.flood_.chats();
  load.in_flight = m.flights_.size();
  load.calls = m.calls_;
  load.rate_limited = m.rate_limited_;
  load.held = m.held_;
  const Mono now = m.clock_.mono();
  const auto waited = [&](Mono since) {
    load.oldest_wait = std::max(load.oldest_wait, std::chrono::duration_cast<Millis>(now - since));
  };
  const auto count = [&](Mono since) {
    ++load.queue;
    waited(since);
  };
  for (const auto& [id, answer] : m.answers_) {
    if (answer->final || (!answer->first_sent && !answer->held && answer->abandoned.empty()))
      count(answer->since);
    else if (!answer->text_shown && answer->abandoned.empty())
      waited(answer->since);  // in the queue, or at a worker that has said nothing yet
  }
  if (m.replies_ == 0) return load;
  for (const auto& [id, lane] : m.lanes_) {
    for (const FirstSend& first : lane->first) {
      if (first.reply) count(first.reply->since);
    }
  }
  return load;
}

bool Outbox::idle() const {
  const Impl& m = *impl_;
  return m.replies_ == 0 && m.finishing_ == 0 && m.flights_.empty() && m.store_tasks_ == 0;
}

void Outbox::when_idle(std::function<void()> fn) {
  impl_->when_idle_.push_back(std::move(fn));
  impl_->run();
}

void Outbox::stop() {
  Impl& m = *impl_;
  m.stopped_ = true;
  m.alive_.reset();
  m.flights_.clear();
  m.store_later_.clear();
  m.told_.clear();
  m.when_idle_.clear();
}

// ---- whose turn it is ----

Lane& Outbox::Impl::lane_of(std::int64_t chat_id) {
  auto& lane = lanes_[chat_id];
  if (!lane) lane = std::make_unique<Lane>(chat_id);
  return *lane;
}

Answer* Outbox::Impl::answer_of(std::int64_t turn_id) {
  if (stopped_) return nullptr;
  const auto it = answers_.find(turn_id);
  return it == answers_.end() ? nullptr : it->second.get();
}

/// The store's steps need no call to Telegram: they are taken at once.
void Outbox::Impl::housekeeping(Lane& lane) {
  for (Answer* answer : lane.answers) {
    const Step step = answer->next();
    if (step.act == Act::AddRow) add_row(*answer, step.part);
    if (step.act == Act::Deliver) deliver(*answer);
  }
}

/// In each topic of a private chat an answer's messages stand together. While one has more than one message,
/// what comes after it isn't begun; a bare placeholder that stands already steps aside before the next
/// message is sent, and comes back when all before it are done. In a group many people wait, each message
/// names its question, and the calls are too few for that.
void Outbox::Impl::keep_answers_apart(Lane& lane) {
  if (lane.group()) return;
  if (lane.answers.size() == 1) {  // nearly always
    lane.answers.front()->held = lane.answers.front()->makes_room = false;
    return;
  }
  struct Place {
    std::int64_t thread_id = 0;
    Answer* next = nullptr;  ///< the first answer here with a message to be sent
    bool long_one = false;
    bool any = false;
  };
  std::vector<Place> places;  // few: topics in which answers are under way
  for (Answer* answer : lane.answers) {
    const std::int64_t thread_id = answer->slot.chat.thread_id;
    auto place =
        std::find_if(places.begin(), places.end(), [&](const Place& p) { return p.thread_id == thread_id; });
    if (place == places.end()) place = places.insert(places.end(), {thread_id});
    answer->makes_room = false;
    answer->held =
        place->next != nullptr || (!answer->first_sent && (place->long_one || (answer->aside && place->any)));
    if (place->next != nullptr && answer->bare()) place->next->makes_room = true;
    place->any = true;
    place->long_one = place->long_one || answer->long_one();
    const bool to_come = answer->unsent() || (!answer->first_sent && answer->abandoned.empty());
    if (place->next == nullptr && to_come) place->next = answer;
  }
  const auto next = std::find_if(lane.first.begin(), lane.first.end(),
                                 [](const FirstSend& f) { return f.answer == nullptr || !f.answer->held; });
  if (next != lane.first.end()) std::rotate(lane.first.begin(), next, std::next(next));
}

Outbox::Impl::Choice Outbox::Impl::choose(Lane& lane, Mono now) {
  keep_answers_apart(lane);
  Choice best;
  best.at = Mono::max();
  const auto offer = [&](Choice::What what, Answer* answer, Step step) {
    const Mono at = std::max(
        {flood_.chat_time(lane.chat_id, lane.group(), step.urgency(), now), lane.retry_at, step.from});
    const bool better = best.what == Choice::What::Nothing || at < best.at ||
                        (at == best.at && step.rank < best.step.rank) ||
                        (at == best.at && step.rank == best.step.rank && answer != nullptr &&
                         best.answer != nullptr && answer->served < best.answer->served);
    if (better) best = {what, answer, step, at};
  };
  if (!lane.first.empty() && lane.first.front().reply)
    offer(Choice::What::Reply, nullptr, {Act::None, 0, Rank::Final});
  const Answer* head = lane.first.empty() ? nullptr : lane.first.front().answer;
  for (Answer* answer : lane.answers) {
    if (answer->held && answer->bare())
      offer(Choice::What::Answer, answer, {Act::StepAside, 0, Rank::FirstSend});
    if (answer->held || (!answer->first_sent && answer != head)) continue;
    const Step step = answer->next();
    if (answer->makes_room && (step.act == Act::Placeholder || step.act == Act::SendText)) continue;
    if (step.act == Act::None || step.act == Act::Wait || step.act == Act::AddRow || step.act == Act::Deliver)
      continue;
    offer(Choice::What::Answer, answer, step);
  }
  if (best.what == Choice::What::Nothing && lane.typing) {
    const bool said = std::any_of(lane.answers.begin(), lane.answers.end(), [&](const Answer* answer) {
      return answer->slot.chat.thread_id == lane.typing->first && answer->abandoned.empty();
    });
    if (said || lane.typing->second <= now)
      lane.typing.reset();
    else
      offer(Choice::What::Typing, nullptr, {Act::None, 0, Rank::Typing});
  }
  return best;
}

/// After a call or a store operation that the lane was busy with.
void Outbox::Impl::settle(Lane& lane) {
  if (lane.moving_to) return migrate(lane, *lane.moving_to);
  refresh(lane);
}

void Outbox::Impl::unqueue(Lane& lane) {
  if (lane.queue == Lane::Queue::Ready) ready_.erase({lane.rank, lane.turn, &lane});
  if (lane.queue == Lane::Queue::Sleeping) sleeping_.erase({lane.at, &lane});
  lane.queue = Lane::Queue::None;
}

/// Finds the lane's place in the queues anew: after anything that changes what it waits for.
void Outbox::Impl::refresh(Lane& lane) {
  housekeeping(lane);
  if (lane.busy) {
    unqueue(lane);
    return;
  }
  const Mono now = clock_.mono();
  const Choice choice = choose(lane, now);
  const auto queue = choice.what == Choice::What::Nothing ? Lane::Queue::None
                     : choice.at <= now                   ? Lane::Queue::Ready
                                                          : Lane::Queue::Sleeping;
  // A lane that waits for the bot's budget keeps its turn.
  if (queue == Lane::Queue::Ready && lane.queue == queue && lane.rank == choice.step.rank) return;
  unqueue(lane);
  lane.queue = queue;
  lane.rank = choice.step.rank;
  lane.at = choice.at;
  if (queue == Lane::Queue::Ready) {
    lane.turn = next_turn_++;
    ready_.insert({lane.rank, lane.turn, &lane});
  } else if (queue == Lane::Queue::Sleeping) {
    sleeping_.insert({lane.at, &lane});
  } else {
    forget(lane);
  }
}

/// Drops a lane that nothing waits for. The lane is gone after this.
void Outbox::Impl::forget(Lane& lane) {
  if (lane.busy || !lane.answers.empty() || !lane.first.empty() || lane.typing) return;
  unqueue(lane);
  lanes_.erase(lane.chat_id);
}

void Outbox::Impl::erase(Answer& answer) {
  Lane& lane = *answer.lane;
  std::erase(lane.answers, &answer);
  std::erase_if(lane.first, [&](const FirstSend& f) { return f.answer == &answer; });
  if (answer.final) --finishing_;
  answers_.erase(answer.slot.turn_id);
}

/// Every way in ends here: makes the calls that may be made, then tells what happened.
void Outbox::Impl::run() {
  if (running_) {
    again_ = true;
    return;
  }
  running_ = true;
  const std::weak_ptr<int> alive = alive_;
  do {
    again_ = false;
    if (stopped_) break;
    pump();
    auto told = std::exchange(told_, {});
    for (auto& tell : told) {
      tell();
      if (alive.expired()) return;
    }
    const bool idle = replies_ == 0 && finishing_ == 0 && flights_.empty() && store_tasks_ == 0;
    if (idle && !when_idle_.empty() && !again_) {
      for (auto& fn : std::exchange(when_idle_, {})) {
        fn();
        if (alive.expired()) return;
      }
    }
  } while (again_ || !told_.empty());
  running_ = false;
}

void Outbox::Impl::pump() {
  const Mono now = clock_.mono();
  while (!store_later_.empty() && store_later_.begin()->first <= now) {
    const auto task = std::move(store_later_.begin()->second);
    store_later_.erase(store_later_.begin());
    --store_tasks_;
    submit(task);
  }
  while (!sleeping_.empty() && sleeping_.begin()->first <= now)
    refresh(*sleeping_.begin()->second);
  // While Telegram can't be reached, or refuses the token, one call at a time finds out.
  const bool probing = held_ || failures_ >= 8;
  const std::size_t most = probing ? 1 : config_.max_calls;
  while (!presses_.empty() && presses_.front().since + kPressWorth <= now)
    presses_.pop_front();
  while (flights_.size() < most && flood_.bot_time(now) <= now) {
    const bool last_words = !ready_.empty() && std::get<0>(*ready_.begin()) == Rank::Final;
    if (!presses_.empty() && !last_words) {
      perform_press(now);
      continue;
    }
    if (ready_.empty()) break;
    Lane& lane = *std::get<2>(*ready_.begin());
    const Choice choice = choose(lane, now);
    if (choice.what == Choice::What::Nothing || choice.at > now) {
      refresh(lane);
      continue;
    }
    unqueue(lane);
    perform(lane, choice, now);
  }
  set_alarm(now);
}

void Outbox::Impl::set_alarm(Mono now) {
  Mono next = Mono::max();
  if (!sleeping_.empty()) next = sleeping_.begin()->first;
  if (!store_later_.empty()) next = std::min(next, store_later_.begin()->first);
  if (!ready_.empty() || !presses_.empty()) {
    const Mono bot = flood_.bot_time(now);
    if (bot > now) next = std::min(next, bot);  // else a call that lands makes room
  }
  if (next == Mono::max() || next == alarm_at_) return;
  // An alarm that comes too early costs little; so an earlier one that is set is left to ring.
  if (alarm_at_ != Mono::max() && alarm_at_ > now && alarm_at_ < next) return;
  alarm_at_ = next;
  const auto delay = std::chrono::ceil<Millis>(next - now);
  alarm_.set(std::max(delay, Millis{1}), guarded([this] {
               alarm_at_ = Mono::max();
               run();
             }));
}

void Outbox::Impl::report(const Error& error, std::string_view doing) {
  if (!events_.on_error) return;
  told_.push_back([this, error, what = std::string(doing)] { events_.on_error(error, what); });
}

}  // namespace katana::gateway
