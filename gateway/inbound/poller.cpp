#include "gateway/inbound/poller.hpp"

#include <algorithm>

#include "common/core/fail_point.hpp"
#include "common/core/id.hpp"
#include "common/log/log.hpp"

namespace katana::gateway {
namespace {

/// Telegram caps the wait at 50 s; the HTTP call itself has a stall limit above it (see HttpBotApi).
constexpr Seconds kPollTimeout{50};
constexpr int kBatch = 100;
/// A refused token can only be mended by an operator: ask rarely, or at once on SIGHUP.
constexpr Millis kAuthRetry{300'000};
/// A webhook that comes back within this after it was removed is another program's.
constexpr Millis kWebhookPeace{600'000};

constexpr log::Room kLog{"poller"};

/// By Telegram's own clock, where it tells: ours may be wrong, or jump.
void tell_ages(std::vector<Update>& updates, Wall now) {
  for (Update& update : updates) {
    auto* message = std::get_if<IncomingMessage>(&update.body);
    if (message == nullptr) continue;
    message->age = std::max(Seconds{0}, std::chrono::duration_cast<Seconds>(now - message->date));
  }
}

}  // namespace

Poller::Poller(telegram::BotApi& api, const Clock& clock, Events events)
    : api_(api), clock_(clock), events_(std::move(events)), last_attempt_end_(clock.mono()) {}

void Poller::start() {
  if (state_ != State::Stopped) return;
  kLog.info("Attempting to start polling (timeout {} s, {} updates a batch)", kPollTimeout.count(), kBatch);
  poll();
}

void Poller::stop() {
  call_.cancel();
  to(State::Stopped);
  due_.reset();
}

void Poller::retry_now() {
  if (state_ != State::Waiting) return;
  backoff_.reset();
  conflict_backoff_.reset();
  poll();
}

void Poller::wake() {
  if (state_ == State::Waiting && due_ && clock_.mono() >= *due_) poll();
}

void Poller::to(State state) {
  state_ = state;
  events_.changed();
}

void Poller::poll() {
  due_.reset();
  if (events_.store_trouble) {
    if (const auto trouble = events_.store_trouble()) return store_fails(*trouble);
  }
  if (events_.introduced && !introduced_) return introduce();
  to(State::Polling);
  // While in trouble ask with a short wait, so that recovery shows at once instead of after a quiet 50 s.
  const Seconds timeout = last_success_ && trouble_.empty() ? kPollTimeout : Seconds{0};
  waits_ = timeout > Seconds{0};
  call_ = api_.get_updates(
      offset_, batch_, timeout,
      [this](telegram::ApiResult<telegram::RawUpdates> answer) { on_answer(std::move(answer)); });
}

/// What may fail here fails like a poll, and is told and waited for alike.
void Poller::introduce() {
  to(State::Introducing);
  call_ = api_.get_me([this](telegram::ApiResult<telegram::BotUser> me) {
    if (state_ != State::Introducing) return;
    last_attempt_end_ = clock_.mono();
    if (!me) return on_failure(me.error());
    introduced_ = true;
    events_.introduced(*me);
    poll();
  });
}

void Poller::on_answer(telegram::ApiResult<telegram::RawUpdates> answer) {
  if (state_ != State::Polling) return;
  ++polls_;
  last_attempt_end_ = clock_.mono();
  if (!answer) return on_failure(answer.error());
  fail_point("offset_sent");  // the updates before these are confirmed
  auto updates = parser_.parse_batch(answer->json);
  if (!updates) {
    return on_failure(telegram::ApiError{.error = with_context(updates.error(), "reading updates")});
  }
  if (!last_success_) kLog.info("Polling started");
  last_success_ = clock_.mono();
  backoff_.reset();
  // A short poll succeeds by ending the other poller's; only a long one that stands shows that we are alone.
  if (waits_) conflict_backoff_.reset();
  if (static_cast<int>(updates->size()) < batch_) batch_ = kBatch;  // the backlog is over
  if (!updates->empty()) {
    tell_ages(*updates, answer->told_at.value_or(clock_.wall()));
    return commit(std::move(*updates));
  }
  well();
  poll();
}

void Poller::well() {
  if (!trouble_.empty()) kLog.info("Polling works again");
  trouble_.clear();
  trouble_since_.reset();
  store_backoff_.reset();
}

void Poller::store_fails(const Error& error) {
  wait(store_backoff_.next(random_u64()),
       "the store can't take updates (" + error.detail + "); Telegram keeps them meanwhile");
}

void Poller::commit(std::vector<Update> updates) {
  to(State::Committing);
  // The batch's own last id, not a maximum of all times: ids may restart lower after a quiet week.
  const std::int64_t next = updates.back().update_id + 1;
  events_.accept(std::move(updates), [this, next](Result<void> committed) {
    if (state_ != State::Committing) return;
    if (!committed) return store_fails(committed.error());
    well();
    offset_ = next;
    poll();
  });
}

void Poller::on_failure(const telegram::ApiError& error) {
  if (events_.failed) events_.failed(error.error);
  using telegram::Refusal;
  if (error.refusal == Refusal::Conflict) {
    if (error.webhook_active) return clear_webhook();
    return wait(conflict_backoff_.next(random_u64()),
                "another program polls with this token (409); stop the other one, or give this bot a token "
                "of its own");
  }
  switch (error.error.code) {
    case Code::Auth:
      return wait(kAuthRetry,
                  "Telegram refuses the token (401); set KATANA_TELEGRAM_TOKEN to the one from @BotFather");
    case Code::RateLimited:
      return wait(error.error.retry_after.value_or(Millis{5'000}), "Telegram asks polling to wait (429)");
    case Code::Timeout:
      batch_ = std::max(1, batch_ / 4);  // over a slow line a smaller answer comes in time
      return wait(backoff_.next(random_u64()), "polling fails: " + error.error.detail);
    default:
      return wait(backoff_.next(random_u64()), "polling fails: " + error.error.detail);
  }
}

void Poller::clear_webhook() {
  if (cleared_at_ && clock_.mono() - *cleared_at_ < kWebhookPeace) {
    cleared_at_.reset();  // the next try may clear it again
    return wait(conflict_backoff_.next(random_u64()),
                "a webhook is set again and again (409): another program uses this token; stop it, or give "
                "this bot a token of its own");
  }
  to(State::ClearingWebhook);
  kLog.warn("A webhook is set for this bot: removing it, since Katana polls");
  call_ = api_.delete_webhook([this](telegram::ApiResult<bool> done) {
    if (state_ != State::ClearingWebhook) return;
    if (!done) return on_failure(done.error());
    cleared_at_ = clock_.mono();
    poll();
  });
}

void Poller::wait(Millis delay, std::string trouble) {
  if (trouble != trouble_) kLog.error("{} (next try in {} s)", trouble, (delay.count() + 999) / 1000);
  trouble_ = std::move(trouble);
  if (!trouble_since_) trouble_since_ = clock_.mono();
  due_ = clock_.mono() + delay;
  to(State::Waiting);
}

}  // namespace katana::gateway
