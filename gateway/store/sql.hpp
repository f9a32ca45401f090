#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/db/connection.hpp"
#include "gateway/store/history.hpp"
#include "gateway/store/store.hpp"

/// The store's operations as SQL, one function each, run inside of a transaction on the database thread. A
/// refusal is returned before the first write; a failure of the database sticks to the connection and is
/// found by its thread.
namespace katana::gateway::sql {

/// Messages of one answer. An outbox id is turn_id * kOutboxStride + part; replies have part 0.
inline constexpr std::int64_t kOutboxStride = 256;
inline constexpr int kMaxParts = static_cast<int>(kOutboxStride) - 1;
inline constexpr std::size_t kMaxAnswer = bus::kMaxFrame;
/// An update id seen again after this time is a new one.
inline constexpr std::chrono::hours kUpdateMemory{48};
/// Sums of usage are kept this long.
inline constexpr std::chrono::hours kUsageMemory{400 * 24};

/// Ids for what an intake may give birth to. Drawn on the loop, so that an operation that has to be run again
/// gives the same ones.
struct Births {
  std::int64_t turn_id = 0;
  std::string job_key;
  std::int64_t first_reply = 0;  ///< those of Intake::replies, then the note's
};

/// The highest ids in use.
struct Highest {
  std::int64_t turn_id = 0;
  std::int64_t reply_id = 0;
};
Highest highest(db::Connection& db);

/// A job id is the turn's id and a random key, so that finding a job needs no index of its own.
std::string job_id(std::int64_t turn_id, const std::string& job_key);
/// The turn of a job id; a turn's id alone is taken too.
std::optional<std::int64_t> turn_of(std::string_view id);

// inbound.cpp
bool is_stored(db::Connection& db, std::int64_t bot_id, std::int64_t update_id);
Accepted accept(db::Connection& db, std::int64_t bot_id, const Intake& intake, const Births& births);
void add_reply(db::Connection& db, std::int64_t bot_id, std::int64_t reply_id, ChatKey chat,
               const Reply& reply);
ChatChoice choice(db::Connection& db, std::int64_t bot_id, ChatKey chat);
void put_member(db::Connection& db, std::int64_t bot_id, const Member& member);
std::vector<Member> members(db::Connection& db, std::int64_t bot_id);

// jobs.cpp
struct Lease {
  bus::JobRef job;
  std::string worker_id;
  std::string provider;
  std::string model;
  int deaths = 0;
  Wall now{};
};
Result<LeasedJob> lease(db::Connection& db, Histories& histories, std::int64_t bot_id, const Lease& lease);
Result<bus::JobRef> requeue(db::Connection& db, std::int64_t bot_id, const bus::JobRef& job,
                            const AttemptEnd& end, Wall now);
Result<Settled> settle(db::Connection& db, Histories& histories, std::int64_t bot_id,
                       const Settlement& settlement, Wall now);

// outbound.cpp
Result<AnswerPart> add_part(db::Connection& db, std::int64_t turn_id, int part);
Result<Nothing> part_sent(db::Connection& db, std::int64_t outbox_id, std::int64_t message_id);
Result<Nothing> answer_delivered(db::Connection& db, std::int64_t turn_id, const std::string& abandoned,
                                 Wall now);
void reply_attempting(db::Connection& db, std::int64_t outbox_id);
void reply_done(db::Connection& db, std::int64_t outbox_id);
void pause(db::Connection& db, std::int64_t bot_id, std::int64_t chat_id, Millis length, Wall now);
/// Removes those that are over.
std::uint64_t end_pauses(db::Connection& db, Wall now);
void migrate_chat(db::Connection& db, std::int64_t bot_id, std::int64_t from, std::int64_t to);
Unfinished unfinished(db::Connection& db, std::int64_t bot_id, Wall now);

// open_turns.cpp
/// Message ids of an answer's parts, in their order, as `open_turns.message_ids` has them: "1204 1207 0".
std::vector<std::int64_t> read_ids(std::string_view text);
std::string write_ids(const std::vector<std::int64_t>& ids);
/// Without those that are held, oldest first.
std::vector<OpenTurn> open_turns(db::Connection& db, std::int64_t bot_id);
/// The held ones of a conversation, which aren't held any more.
std::vector<OpenTurn> release_held(db::Connection& db, std::int64_t conversation_id);
std::optional<OpenTurn> open_turn(db::Connection& db, std::int64_t turn_id);

// ledger.cpp
std::optional<Trace> trace(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id);
std::vector<DeadLetter> dead_letters(db::Connection& db, std::int64_t bot_id);
Result<OpenTurn> retry_dead_letter(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id,
                                   const Births& births);
Result<Nothing> drop_dead_letter(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id);

// housekeeping.cpp
UsageSum usage(db::Connection& db, std::int64_t bot_id, Wall since, std::optional<std::int64_t> user_id);
void book(db::Connection& db, std::int64_t bot_id, Wall now, std::int64_t user_id, const UsageLine& line);

/// A long piece of work, as far as it has come: each step is a transaction and returns the next state.
struct Sweep {
  enum class Stage { Turns, Updates, Conversations, Usage, Pages, Ended } stage = Stage::Turns;
  std::int64_t bot = 0;  ///< cursor: what was looked at last
  std::int64_t row = 0;
  std::uint64_t rows_changed = 0;
};
struct Cutoffs {
  Wall turns{};
  Wall updates{};
  Wall usage{};
  Wall now{};
};
Sweep prune(db::Connection& db, const Cutoffs& before, Sweep sweep);
Sweep forget(db::Connection& db, std::int64_t bot_id, std::int64_t user_id, Sweep sweep);

// layout.cpp
std::string write_layout(const Reply& reply);
void read_layout(std::string_view layout, Reply& reply);

}  // namespace katana::gateway::sql
