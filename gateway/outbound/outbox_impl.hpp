#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/core/backoff.hpp"
#include "gateway/outbound/answer.hpp"
#include "gateway/outbound/flood.hpp"
#include "gateway/outbound/outbox.hpp"

namespace katana::gateway {

/// A reply that isn't delivered.
struct WaitingReply {
  std::int64_t outbox_id = 0;
  std::int64_t thread_id = 0;
  Reply reply;
  Mono since{};
  bool row = true;         ///< false: the store has no open row for it
  bool attempted = false;  ///< reply_attempting is durable
  bool uncertain = false;  ///< a send may have arrived
  bool asks = false;       ///< it is the question whether a message arrived
  bool plain = false;
};

/// What is first sent to a chat in the order in which it was asked for: an answer's placeholder, or a reply.
struct FirstSend {
  Answer* answer = nullptr;
  std::unique_ptr<WaitingReply> reply{};
};

/// One chat: everything that waits for it. At most one call is under way to a chat, so that nothing overtakes
/// and nothing slips past a pause.
struct Lane {
  explicit Lane(std::int64_t id) : chat_id(id) {}
  [[nodiscard]] bool group() const { return chat_id < 0; }

  std::int64_t chat_id;
  std::deque<FirstSend> first;
  std::vector<Answer*> answers;
  std::optional<std::pair<std::int64_t, Mono>> typing{};  ///< thread, until when it is worth it
  bool busy = false;                                      ///< a call, or reply_attempting
  std::optional<std::int64_t> moving_to{};                ///< the group's new id, once it isn't busy
  Mono retry_at{};
  Backoff backoff{Millis{500}, Millis{30'000}};
  // Where it stands in the queues.
  enum class Queue { None, Ready, Sleeping } queue = Queue::None;
  Rank rank = Rank::Typing;
  std::uint64_t turn = 0;
  Mono at{};
};

/// A pressed button that waits for its answer.
struct Press {
  std::string id;
  std::string text;
  Mono since{};
};

/// A call under way.
struct Flight {
  Lane* lane = nullptr;  ///< none: an answer to a pressed button
  enum class Kind { Answer, Reply, Typing, Press } kind = Kind::Answer;
  Step step{};
  std::int64_t turn_id = 0;
  std::uint64_t generation = 0;
  std::uint64_t version = 0;
  std::uint64_t fingerprint = 0;
  bool frozen = false;
  bool text = false;  ///< carries answer text
  net::HttpCall call{};
};

/// A store operation that must come true: repeated until it is durable.
struct StoreTask {
  const char* doing = "";
  std::function<void(Done<Nothing>)> run;
  std::function<void()> applied{};
  std::function<void()> durable{};
  std::function<void()> refused{};  ///< the domain said no (its row is gone): not repeated
  Backoff backoff{Millis{100}, Millis{10'000}};
};

struct Outbox::Impl {
  Impl(telegram::BotApi& api, Store& store, const Clock& clock, Alarm& alarm, OutboxConfig config,
       OutboxEvents events);

  // outbox.cpp: the queues
  Lane& lane_of(std::int64_t chat_id);
  Answer* answer_of(std::int64_t turn_id);
  void refresh(Lane& lane);
  void settle(Lane& lane);
  void unqueue(Lane& lane);
  void housekeeping(Lane& lane);
  void keep_answers_apart(Lane& lane);
  struct Choice {
    enum class What { Nothing, Reply, Answer, Typing } what = What::Nothing;
    Answer* answer = nullptr;
    Step step{};
    Mono at{};
  };
  Choice choose(Lane& lane, Mono now);
  void run();
  void pump();
  void set_alarm(Mono now);
  void forget(Lane& lane);
  void erase(Answer& answer);

  // outbox_calls.cpp: calls and what comes of them
  void perform(Lane& lane, const Choice& choice, Mono now);
  void perform_answer(Lane& lane, Answer& answer, Step step, Mono now);
  void perform_reply(Lane& lane, Mono now);
  void perform_press(Mono now);
  std::uint64_t take_off(Flight flight, Urgency urgency, Mono now);
  void landed(std::uint64_t id, const telegram::ApiError* error, std::int64_t message_id);
  void succeeded(const Flight& flight, std::int64_t message_id);
  void failed(const Flight& flight, const telegram::ApiError& error);
  void retry_later(const Flight& flight, const Error& error);
  void refused(const Flight& flight, const Error& error, bool formatting);
  void message_gone(const Flight& flight);
  void maybe_arrived(const Flight& flight);
  void chat_gone(Lane& lane);
  void migrate(Lane& from, std::int64_t to);
  void failed_press(const telegram::ApiError& error);
  void limited(std::int64_t chat_id, Millis retry_after);
  void refused_token();
  void unreachable(Mono now);
  void ask_about(Lane& lane, std::int64_t outbox_id, std::int64_t thread_id, Reply reply, bool row);

  // outbox_store.cpp: what the store must learn
  void submit(const std::shared_ptr<StoreTask>& task);
  void add_row(Answer& answer, std::size_t part);
  void part_sent(Answer& answer, std::size_t part);
  void forget_message(std::int64_t outbox_id);
  void deliver(Answer& answer);
  void attempt(Lane& lane, const WaitingReply& reply);
  void reply_done(Lane& lane, std::int64_t message_id, const std::string& abandoned);
  void abandon(Answer& answer, std::string reason);
  void first_sent(Answer& answer);
  void stepped_aside(Answer& answer);
  void keep_pause(std::int64_t chat_id, Mono until);

  void report(const Error& error, std::string_view doing);
  template <class Fn>
  auto guarded(Fn fn) {
    return [alive = std::weak_ptr<int>(alive_), fn = std::move(fn)](auto&&... args) mutable {
      if (!alive.expired()) fn(std::forward<decltype(args)>(args)...);
    };
  }

  telegram::BotApi& api_;
  Store& store_;
  const Clock& clock_;
  Alarm& alarm_;
  OutboxConfig config_;
  OutboxEvents events_;
  Flood flood_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  bool stopped_ = false;

  std::unordered_map<std::int64_t, std::unique_ptr<Answer>> answers_;
  std::unordered_map<std::int64_t, std::unique_ptr<Lane>> lanes_;
  std::unordered_map<std::int64_t, std::int64_t> moved_;  ///< migrated groups: old id -> new id
  std::unordered_map<std::uint64_t, Flight> flights_;
  std::uint64_t next_flight_ = 1;
  std::uint64_t next_turn_ = 1;
  std::size_t replies_ = 0;
  std::size_t finishing_ = 0;  ///< answers that are final

  std::set<std::tuple<Rank, std::uint64_t, Lane*>> ready_;
  std::set<std::pair<Mono, Lane*>> sleeping_;
  std::deque<Press> presses_;
  Mono alarm_at_ = Mono::max();

  std::size_t store_tasks_ = 0;  ///< under way or waiting
  std::multimap<Mono, std::shared_ptr<StoreTask>> store_later_;

  bool held_ = false;         ///< the token was refused
  std::size_t failures_ = 0;  ///< in a row, of the network
  Backoff bot_backoff_{Millis{500}, Millis{10'000}};
  std::uint64_t calls_ = 0;
  std::uint64_t rate_limited_ = 0;

  std::map<std::int64_t, std::pair<ChatKey, Reply>> asked_;  ///< by outbox id: what may not have arrived

  bool running_ = false;
  bool again_ = false;
  std::vector<std::function<void()>> told_;  ///< events, for when our own state is in order
  std::vector<std::function<void()>> when_idle_;
};

}  // namespace katana::gateway
