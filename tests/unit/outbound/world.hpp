#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/core/clock.hpp"
#include "common/core/text.hpp"
#include "gateway/outbound/alarm.hpp"
#include "gateway/outbound/outbox.hpp"
#include "tests/unit/store_stub.hpp"

namespace katana::gateway::test {

/// Simulated time: things happen in the order of their moments, and nothing else moves the clock.
class World {
 public:
  void after(Millis delay, std::function<void()> fn) { queue_.emplace(clock.mono() + delay, std::move(fn)); }
  void run_for(Millis span) {
    const Mono end = clock.mono() + span;
    while (!queue_.empty() && queue_.begin()->first <= end)
      step();
    if (clock.mono() < end) move_to(end);
  }
  bool run_until(const std::function<bool()>& done, Millis limit = Millis{3'600'000}) {
    const Mono end = clock.mono() + limit;
    while (!done()) {
      if (queue_.empty() || queue_.begin()->first > end) return false;
      step();
    }
    return true;
  }
  /// What was before doesn't count.
  void begin() {
    clock.advance(Millis{60'000});
    start_ = clock.mono();
  }
  [[nodiscard]] Millis now() const { return std::chrono::duration_cast<Millis>(clock.mono() - start_); }
  ManualClock clock;

 private:
  void move_to(Mono t) {
    if (t > clock.mono()) clock.advance(std::chrono::ceil<Millis>(t - clock.mono()));
  }
  void step() {
    auto it = queue_.begin();
    move_to(it->first);
    auto fn = std::move(it->second);
    queue_.erase(it);
    fn();
  }
  std::multimap<Mono, std::function<void()>> queue_;
  Mono start_ = clock.mono();
};

class SimAlarm final : public Alarm {
 public:
  explicit SimAlarm(World& world) : world_(world) {}
  void set(Millis delay, std::function<void()> fn) override {
    const int mine = ++generation_;
    world_.after(delay, [this, mine, fn = std::move(fn)] {
      if (mine == generation_) fn();
    });
  }

 private:
  World& world_;
  int generation_ = 0;
};

/// A scripted Telegram that keeps count: every call with its time, every message as it stands, and what broke
/// a limit.
class FakeTelegram final : public telegram::BotApi {
 public:
  struct Call {
    std::string method;
    std::int64_t chat = 0;
    std::int64_t message_id = 0;
    telegram::OutText out{};
    Mono at{};
  };
  struct Message {
    std::int64_t chat = 0;
    telegram::OutText out;
    bool deleted = false;
  };
  /// What a call meets: nothing (it works), or an error. `arrives`: it takes effect all the same.
  struct Fault {
    telegram::ApiError error;
    bool arrives = false;
  };
  explicit FakeTelegram(World& world) : world_(world) {}

  Millis latency{40};
  bool enforce = true;
  std::function<std::optional<Fault>(const Call&)> fault;  ///< asked for each call
  std::deque<Call> calls;
  std::map<std::int64_t, Message> messages;  ///< by message_id; ids count up over all chats
  std::vector<std::string> broken;           ///< limits and rules that were not kept
  int in_flight = 0, most_in_flight = 0;

  [[nodiscard]] std::vector<std::string> texts(std::int64_t chat) const {
    std::vector<std::string> out;
    for (const auto& [id, m] : messages) {
      if (m.chat == chat && !m.deleted) out.push_back(m.out.text);
    }
    return out;
  }
  [[nodiscard]] int count(const std::string& method, std::int64_t chat = 0) const {
    return static_cast<int>(std::count_if(calls.begin(), calls.end(), [&](const Call& c) {
      return c.method == method && (chat == 0 || c.chat == chat);
    }));
  }

  net::HttpCall send_message(const telegram::OutText& m, Then<std::int64_t> then) override {
    auto id = std::make_shared<std::int64_t>(0);
    check_text(m);
    call<std::int64_t>({"send", m.chat_id, 0, m, world_.clock.mono()}, std::move(then),
                       [this, m, id]() -> telegram::ApiResult<std::int64_t> {
                         messages[++next_message_] = {m.chat_id, m};
                         return next_message_;
                       });
    return {};
  }
  net::HttpCall edit_message(std::int64_t id, const telegram::OutText& m, Then<bool> then) override {
    check_text(m);
    call<bool>({"edit", m.chat_id, id, m, world_.clock.mono()}, std::move(then),
               [this, id, m]() -> telegram::ApiResult<bool> {
                 const auto it = messages.find(id);
                 if (it == messages.end() || it->second.deleted || it->second.chat != m.chat_id) {
                   return refuse(telegram::Refusal::MessageGone);
                 }
                 if (it->second.out.text == m.text && it->second.out.entities == m.entities &&
                     it->second.out.keyboard.size() == m.keyboard.size()) {
                   return refuse(telegram::Refusal::NotModified);
                 }
                 it->second.out = m;
                 return true;
               });
    return {};
  }
  net::HttpCall delete_message(std::int64_t chat, std::int64_t id, Then<bool> then) override {
    call<bool>({"delete", chat, id, {}, world_.clock.mono()}, std::move(then),
               [this, id]() -> telegram::ApiResult<bool> {
                 messages[id].deleted = true;
                 return true;
               });
    return {};
  }
  net::HttpCall send_draft(std::int64_t id, const telegram::OutText& m, Then<bool> then) override {
    call<bool>({"draft", m.chat_id, id, m, world_.clock.mono()}, std::move(then),
               []() -> telegram::ApiResult<bool> { return true; });
    return {};
  }
  net::HttpCall send_typing(std::int64_t chat, std::int64_t, Then<bool> then) override {
    call<bool>({"typing", chat, 0, {}, world_.clock.mono()}, std::move(then),
               []() -> telegram::ApiResult<bool> { return true; });
    return {};
  }
  net::HttpCall get_me(Then<telegram::BotUser>) override { return {}; }
  net::HttpCall get_updates(std::int64_t, int, Seconds, Then<telegram::RawUpdates>) override { return {}; }
  net::HttpCall answer_callback(const std::string& id, const std::string&, Then<bool> then) override {
    call<bool>({"press " + id, 0, 0, {}, world_.clock.mono()}, std::move(then),
               []() -> telegram::ApiResult<bool> { return true; });
    return {};
  }
  net::HttpCall set_commands(const std::vector<std::pair<std::string, std::string>>&, Then<bool>) override {
    return {};
  }
  net::HttpCall delete_webhook(Then<bool>) override { return {}; }
  net::HttpCall set_webhook(const std::string&, const Secret&, Then<bool>) override { return {}; }
  net::HttpCall pending_updates(Then<std::int64_t>) override { return {}; }

  static tl::unexpected<telegram::ApiError> refuse(telegram::Refusal refusal) {
    return tl::unexpected(error(Code::Rejected, refusal));
  }
  static telegram::ApiError error(Code code, telegram::Refusal refusal = telegram::Refusal::Other,
                                  int status = 400) {
    telegram::ApiError e;
    e.error = Error{code, "scripted"};
    e.refusal = refusal;
    e.http_status = status;
    return e;
  }
  static telegram::ApiError too_many(Millis retry_after) {
    telegram::ApiError e = error(Code::RateLimited, telegram::Refusal::Other, 429);
    e.error.retry_after = retry_after;
    return e;
  }
  static telegram::ApiError no_answer(Code code = Code::Timeout, bool never_left = false) {
    telegram::ApiError e = error(code, telegram::Refusal::Other, 0);
    e.error.never_left = never_left;
    return e;
  }

 private:
  template <class T>
  void call(Call c, Then<T> then, std::function<telegram::ApiResult<T>()> effect) {
    calls.push_back(c);
    most_in_flight = std::max(most_in_flight, ++in_flight);
    if (enforce) check_limits(c);
    const std::optional<Fault> met = fault ? fault(c) : std::nullopt;
    world_.after(latency, [this, met, then = std::move(then), effect = std::move(effect)] {
      --in_flight;
      if (met) {
        if (met->arrives) (void)effect();
        then(tl::unexpected(met->error));
      } else {
        then(effect());
      }
    });
  }
  /// Telegram's soft limits, with the bursts that it is known to take: 4 in a chat, none for groups and the
  /// bot.
  void check_limits(const Call& c) {
    const auto in_last = [&](std::deque<Mono>& times, Millis window) {
      while (!times.empty() && times.front() + window <= c.at)
        times.pop_front();
      times.push_back(c.at);
      return times.size();
    };
    if (in_last(bot_times_, Millis{1'000}) > 30) broken.push_back("bot: more than 30 in a second");
    if (c.chat < 0 && in_last(group_times_[c.chat], Millis{60'000}) > 20)
      broken.push_back("group: more than 20 in a minute");
    if (c.chat != 0 && in_last(chat_times_[c.chat], Millis{10'000}) > 13)
      broken.push_back("chat: more than a burst and 1 a second");
  }
  void check_text(const telegram::OutText& m) {
    const std::size_t units = text::utf16_length(m.text);
    if (units == 0 || units > 4096 || !text::is_valid_utf8(m.text))
      broken.push_back("text of " + std::to_string(units));
    for (const telegram::Entity& e : m.entities) {
      if (e.length == 0 || e.offset + e.length > units) broken.push_back("entity outside");
    }
  }

  World& world_;
  std::int64_t next_message_ = 100;
  std::deque<Mono> bot_times_;
  std::map<std::int64_t, std::deque<Mono>> group_times_, chat_times_;
};

/// A store that keeps rows in memory, takes its time, and can fail. Only what the outbox uses does anything.
class FakeStore final : public StoreStub {
 public:
  explicit FakeStore(World& world) : world_(world) {}
  Millis applied_after{1}, durable_after{4};
  int most_parts = 255;
  int failures = 0;                                    ///< of the next operations
  std::map<std::int64_t, std::int64_t> part_messages;  ///< outbox id -> message id
  std::map<std::int64_t, std::string> delivered;       ///< turn -> why abandoned
  std::map<std::int64_t, std::string> replies_done;    ///< outbox id -> why abandoned
  std::vector<std::int64_t> attempting;
  std::vector<std::pair<std::int64_t, std::int64_t>> migrated;
  std::map<std::int64_t, Millis> pauses;  ///< chat -> as it was asked for last
  int rows_added = 0;

  void add_part(std::int64_t, int part, Done<AnswerPart> done) override {
    if (part > most_parts) {
      world_.after(durable_after, [done] { done.durable(fail(Code::Rejected, "too many parts")); });
      return;
    }
    finish<AnswerPart>(std::move(done), [this, part] { return AnswerPart{10'000 + ++rows_added, part, 0}; });
  }
  void part_sent(std::int64_t id, std::int64_t message, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return part_messages[id] = message, Nothing{}; });
  }
  void answer_delivered(std::int64_t turn, std::string why, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return delivered[turn] = why, Nothing{}; });
  }
  void reply_attempting(std::int64_t id, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return attempting.push_back(id), Nothing{}; });
  }
  void reply_done(std::int64_t id, std::int64_t, std::string why, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return replies_done[id] = why, Nothing{}; });
  }
  void pause(std::int64_t chat, Millis length, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return pauses[chat] = length, Nothing{}; });
  }
  void migrate_chat(std::int64_t from, std::int64_t to, Done<Nothing> done) override {
    finish<Nothing>(std::move(done), [=, this] { return migrated.emplace_back(from, to), Nothing{}; });
  }

 private:
  template <class T>
  void finish(Done<T> done, std::function<T()> effect) {
    const bool fails = failures > 0 && failures-- > 0;
    auto value = std::make_shared<std::optional<T>>();
    world_.after(applied_after, [=] {
      if (!fails) *value = effect();
      Result<T> outcome = fails ? Result<T>(fail(Code::Internal, "disk full")) : Result<T>(**value);
      if (done.applied) done.applied(outcome);
    });
    world_.after(durable_after, [=] {
      if (done.durable)
        done.durable(fails ? Result<T>(fail(Code::Internal, "disk full")) : Result<T>(**value));
    });
  }
  World& world_;
};

}  // namespace katana::gateway::test
