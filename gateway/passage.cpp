// The way of a question through the rooms: what Gateway does with what each of them says.
#include <algorithm>
#include <utility>

#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/counters.hpp"
#include "gateway/gateway.hpp"

namespace katana::gateway {
namespace {

constexpr log::Room kLog{"gateway"};

double seconds(Mono::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

InboxEvents Gateway::inbox_events() {
  return InboxEvents{
      .on_applied = [this](const Opened& o) { dispatch(o); },
      .on_durable = [this](const Opened& o) { show(o); },
      .on_lost =
          [this](const Opened& o) {
            dispatcher_->drop(o.turn.turn_id);
            early_text_.erase(o.turn.turn_id);
            asked_.erase(o.turn.turn_id);
          },
      .on_reply = [this](ChatKey chat, std::int64_t id,
                         Reply reply) { outbox_->reply(chat, id, std::move(reply)); },
      .on_press = [this](const std::string& id, const std::string& text) { outbox_->answer_press(id, text); },
      .on_again =
          [this](std::int64_t id) {
            if (!outbox_->again(id))
              kLog.info("A button asks for message {} again, which nothing is known of", id);
          },
      .on_stop =
          [this](ChatKey chat) {
            if (dispatcher_->cancel(chat)) return;
            store_->add_reply(chat, Reply{.text = phrases::nothing_to_stop()},
                              Done<std::int64_t>{.durable = [this, chat](Result<std::int64_t> id) {
                                if (id) outbox_->reply(chat, *id, Reply{.text = phrases::nothing_to_stop()});
                              }});
          },
      .on_chat_gone = [](std::int64_t chat) { kLog.info("Chat {}: the bot was removed or blocked", chat); },
      .on_chat_moved = [this](std::int64_t from, std::int64_t to) { outbox_->chat_moved(from, to); },
      .on_ignored = [this](const std::string& why) { counters_->ignored(why); },
      .on_duplicate = [this] { counters_->duplicates.add(); },
      .on_released =
          [this](OpenTurn turn) {
            counters_->questions.add();
            take_up(std::move(turn), false);
          },
      .room =
          [this] {
            const auto most = static_cast<std::size_t>(settings_.queue);
            return most - std::min(most, dispatcher_->waiting());
          }};
}

void Gateway::dispatch(const Opened& o) {
  counters_->questions.add();
  asked_[o.turn.turn_id] = {handed_out_};
  early_text_[o.turn.turn_id];
  const ChatChoice choice = offer_.resolve(o.turn.choice);
  dispatcher_->add(Question{.turn_id = o.turn.turn_id,
                            .chat = o.chat,
                            .job = {o.turn.job_id, 1},
                            .provider = choice.provider,
                            .model = choice.model});
}

void Gateway::show(const Opened& o) {
  outbox_->open(AnswerSlot{.turn_id = o.turn.turn_id,
                           .job_id = o.turn.job_id,
                           .chat = o.chat,
                           .question_id = o.question_id,
                           .group = o.group,
                           .parts = {AnswerPart{.outbox_id = o.turn.placeholder_id}}});
  const auto early = early_text_.extract(o.turn.turn_id);
  if (early && !early.mapped().empty()) outbox_->grow(o.turn.turn_id, early.mapped());
}

std::string* Gateway::early_text(std::int64_t turn_id) {
  const auto early = early_text_.find(turn_id);
  return early == early_text_.end() ? nullptr : &early->second;
}

DispatchEvents Gateway::dispatch_events() {
  return DispatchEvents{
      .on_text =
          [this](std::int64_t turn, std::string_view piece) {
            if (std::string* early = early_text(turn)) {
              early->append(piece);
            } else {
              outbox_->grow(turn, piece);
            }
          },
      .on_whole =
          [this](std::int64_t turn, std::string whole) {
            if (std::string* early = early_text(turn)) {
              *early = std::move(whole);
            } else {
              outbox_->replace(turn, whole);
            }
          },
      .on_restart =
          [this](std::int64_t turn) {
            if (std::string* early = early_text(turn)) {
              early->clear();
            } else {
              outbox_->restart(turn);
            }
          },
      .on_settled = [this](std::int64_t turn,
                           std::string text) { outbox_->finish(turn, FinalText{.text = std::move(text)}); },
      .on_result =
          [](const bus::JobResult& r, const std::string& provider) {
            kLog.info("Job {}: answered by {} ({}), {} characters, {} + {} tokens, {} ms", r.job.job_id,
                      provider, r.model, r.text.size(), r.usage.input_tokens, r.usage.output_tokens,
                      r.upstream_ms);
          },
      .on_failure =
          [this](const bus::JobFailed& f, const std::string& provider) {
            counters_->job_failed(provider, f.error.code);
            if (f.error.code == Code::Cancelled)
              return kLog.info("Job {}: stopped by its user", f.job.job_id);
            last_error_ = provider + ": " + std::string(to_string(f.error.code));
            kLog.error("Job {}: {} failed: {}: {}", f.job.job_id, provider, to_string(f.error.code),
                       f.error.detail);
          },
      .on_usage =
          [this](const std::string& provider, const std::string& model, const bus::Usage& usage) {
            counters_->spend.add(provider, offer_.models.find(model), usage);
          },
      .on_stale = [this] { counters_->stale.add(); },
      .on_dead =
          [this](const std::string& job_id) {
            kLog.error("Job {}: among the dead letters; see katana dead-letters", job_id);
            count_dead_letters();
          },
      .blob = {}};
}

OutboxEvents Gateway::outbox_events() {
  return OutboxEvents{
      .on_delivered = [this](std::int64_t turn,
                             const std::string& abandoned) { on_delivered(turn, abandoned); },
      .on_first_text = [this](std::int64_t turn, Mono when) { on_first_text(turn, when); },
      .on_reply_done = [this](std::int64_t, const std::string&) { check_drained(); },
      .on_chat_gone =
          [](std::int64_t chat) { kLog.info("Chat {}: nothing can be sent there any more", chat); },
      .on_migrated =
          [this](std::int64_t from, std::int64_t to) {
            kLog.info("Chat {} is now {}", from, to);
            dispatcher_->move_chat(from, to);
          },
      .on_error =
          [this](const Error& error, std::string_view doing) {
            const bool stores = doing.starts_with("store ");
            if (!stores) counters_->telegram_failed(error);
            last_error_ = std::string(doing) + ": " + std::string(to_string(error.code));
            kLog.warn("{}{}: {}: {}", stores ? "" : "Telegram, ", doing, to_string(error.code), error.detail);
          }};
}

void Gateway::on_first_text(std::int64_t turn_id, Mono when) {
  const auto asked = asked_.find(turn_id);
  if (asked == asked_.end() || std::exchange(asked->second.text_shown, true)) return;
  counters_->first_text_seconds.observe(seconds(when - asked->second.at));
}

void Gateway::on_delivered(std::int64_t turn_id, const std::string& abandoned) {
  const auto asked = asked_.extract(turn_id);
  if (abandoned.empty()) {
    last_answer_ = service_.clock().mono();
    ++counters_->answered;
    counters_->delivered.add();
    if (asked) counters_->answer_seconds.observe(seconds(*last_answer_ - asked.mapped().at));
  } else {
    counters_->abandoned.add();
    kLog.warn("Turn {}: its answer could not be shown: {}", turn_id, abandoned);
  }
  check_drained();
}

}  // namespace katana::gateway
