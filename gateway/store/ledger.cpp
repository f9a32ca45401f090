// The operator's view of the ledger: what became of a question, and the dead letters.
#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

/// The turn as far as it is settled; false: it isn't.
bool read_settled(db::Connection& db, std::int64_t bot_id, Trace& trace, TracedAttempt& last) {
  auto rows = db.query(
      "SELECT chat_id, user_id, answered, attempt, asked_at, settled_at, delivered_at, provider, model, "
      "error_code, request_id, abandoned, worker_id, leased_at, input_tokens, output_tokens, "
      "cache_read_tokens, cache_write_tokens, accepted_at, first_text_at, message_ids, asked_again "
      "FROM turns WHERE turn_id = $1 AND bot_id = $2",
      trace.turn_id, bot_id);
  if (!rows.next()) return false;
  trace.chat = {rows.integer(0), 0};
  trace.user_id = rows.integer(1);
  trace.answered = rows.integer(2) != 0;
  trace.asked_at = from_unix_ms(rows.integer(4));
  trace.settled_at = from_unix_ms(rows.integer(5));
  trace.delivered_at = from_unix_ms(rows.integer(6));
  trace.error_code = rows.text(9);
  trace.abandoned = rows.text(11);
  trace.state = trace.abandoned.empty() ? Trace::State::Delivered : Trace::State::Abandoned;
  trace.usage = {rows.integer<std::uint64_t>(14), rows.integer<std::uint64_t>(15),
                 rows.integer<std::uint64_t>(16), rows.integer<std::uint64_t>(17)};
  trace.message_ids = read_ids(rows.view(20));
  trace.asked_again_as = rows.integer(21);
  last = {.attempt = rows.integer<std::uint32_t>(3),
          .provider = rows.text(7),
          .model = rows.text(8),
          .worker_id = rows.text(12),
          .leased_at = from_unix_ms(rows.integer(13)),
          .steps = {from_unix_ms(rows.integer(18)), from_unix_ms(rows.integer(19))},
          .ended_at = trace.settled_at,
          .ending = trace.error_code,
          .request_id = rows.text(10)};
  return true;
}

/// What the turn's open row adds; false: it has none.
bool read_open(db::Connection& db, std::int64_t bot_id, bool settled, Trace& trace, TracedAttempt& last) {
  auto rows = db.query(
      "SELECT c.chat_id, c.thread_id, o.user_id, o.asked_at, o.held, o.leased, o.attempt, o.lease_provider, "
      "o.lease_model, o.worker_id, o.leased_at, o.message_ids "
      "FROM open_turns o JOIN conversations c ON c.conversation_id = o.conversation_id "
      "WHERE o.turn_id = $1 AND o.bot_id = $2",
      trace.turn_id, bot_id);
  if (!rows.next()) return false;
  trace.chat = {rows.integer(0), rows.integer(1)};
  trace.user_id = rows.integer(2);
  trace.asked_at = from_unix_ms(rows.integer(3));
  trace.message_ids = read_ids(rows.view(11));
  if (settled) {
    trace.state = Trace::State::Settled;
    trace.delivered_at = {};
    return true;
  }
  const bool leased = rows.integer(5) != 0;
  trace.state = rows.integer(4) != 0 ? Trace::State::Held
                : leased             ? Trace::State::Leased
                                     : Trace::State::Queued;
  if (leased) {
    last = {.attempt = rows.integer<std::uint32_t>(6),
            .provider = rows.text(7),
            .model = rows.text(8),
            .worker_id = rows.text(9),
            .leased_at = from_unix_ms(rows.integer(10))};
  }
  return true;
}

std::vector<TracedAttempt> earlier_attempts(db::Connection& db, std::int64_t turn_id) {
  std::vector<TracedAttempt> out;
  auto rows = db.query(
      "SELECT attempt, provider, model, worker_id, leased_at, accepted_at, first_text_at, ended_at, ending, "
      "request_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens FROM attempts "
      "WHERE turn_id = $1 ORDER BY attempt",
      turn_id);
  while (rows.next()) {
    out.push_back({.attempt = rows.integer<std::uint32_t>(0),
                   .provider = rows.text(1),
                   .model = rows.text(2),
                   .worker_id = rows.text(3),
                   .leased_at = from_unix_ms(rows.integer(4)),
                   .steps = {from_unix_ms(rows.integer(5)), from_unix_ms(rows.integer(6))},
                   .ended_at = from_unix_ms(rows.integer(7)),
                   .ending = rows.text(8),
                   .request_id = rows.text(9),
                   .usage = {rows.integer<std::uint64_t>(10), rows.integer<std::uint64_t>(11),
                             rows.integer<std::uint64_t>(12), rows.integer<std::uint64_t>(13)}});
  }
  return out;
}

Error no_letter(std::int64_t turn_id) {
  return {Code::Rejected, "there is no dead letter " + std::to_string(turn_id)};
}

bool is_dead(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id) {
  return db.query("SELECT 1 FROM dead_letters WHERE turn_id = $1 AND bot_id = $2", turn_id, bot_id).next();
}

}  // namespace

std::optional<Trace> trace(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id) {
  Trace out{.turn_id = turn_id};
  TracedAttempt last;
  const bool settled = read_settled(db, bot_id, out, last);
  const bool open = read_open(db, bot_id, settled, out, last);
  if (!settled && !open) return std::nullopt;
  out.dead = is_dead(db, bot_id, turn_id);
  out.attempts = earlier_attempts(db, turn_id);
  if (last.attempt != 0) out.attempts.push_back(std::move(last));
  return out;
}

std::vector<DeadLetter> dead_letters(db::Connection& db, std::int64_t bot_id) {
  std::vector<DeadLetter> out;
  auto rows = db.query(
      "SELECT d.turn_id, d.job_key, c.chat_id, c.thread_id, d.user_id, d.asked_at, d.died_at, d.provider, "
      "d.model FROM dead_letters d JOIN conversations c ON c.conversation_id = d.conversation_id "
      "WHERE d.bot_id = $1 ORDER BY d.turn_id",
      bot_id);
  while (rows.next()) {
    out.push_back({.turn_id = rows.integer(0),
                   .job_id = job_id(rows.integer(0), rows.text(1)),
                   .chat = {rows.integer(2), rows.integer(3)},
                   .user_id = rows.integer(4),
                   .asked_at = from_unix_ms(rows.integer(5)),
                   .died_at = from_unix_ms(rows.integer(6)),
                   .provider = rows.text(7),
                   .model = rows.text(8)});
  }
  return out;
}

Result<OpenTurn> retry_dead_letter(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id,
                                   const Births& births) {
  if (!is_dead(db, bot_id, turn_id)) return fail(no_letter(turn_id));
  db.run(
      "INSERT INTO open_turns (turn_id, bot_id, conversation_id, chapter, user_id, question_id, is_group, "
      "asked_at, job_key, attempt, leased, deaths, provider, model, worker_id, lease_provider, lease_model, "
      "leased_at, message_ids, question) "
      "SELECT $1, d.bot_id, d.conversation_id, c.chapter, d.user_id, d.question_id, d.is_group, d.asked_at, "
      "$2, 1, 0, 0, d.provider, d.model, '', '', '', 0, '0', d.question "
      "FROM dead_letters d JOIN conversations c ON c.conversation_id = d.conversation_id WHERE d.turn_id = "
      "$3",
      births.turn_id, births.job_key, turn_id);
  db.run("DELETE FROM dead_letters WHERE turn_id = $1", turn_id);
  db.run("UPDATE turns SET asked_again = $1 WHERE turn_id = $2", births.turn_id, turn_id);
  auto revived = open_turn(db, births.turn_id);
  if (!revived) return fail(no_letter(turn_id));
  return std::move(*revived);
}

Result<Nothing> drop_dead_letter(db::Connection& db, std::int64_t bot_id, std::int64_t turn_id) {
  if (!is_dead(db, bot_id, turn_id)) return fail(no_letter(turn_id));
  db.run("DELETE FROM dead_letters WHERE turn_id = $1", turn_id);
  return Nothing{};
}

}  // namespace katana::gateway::sql
