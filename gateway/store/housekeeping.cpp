#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

/// Rows that one step of a sweep looks at.
constexpr int kRows = 500;
/// Pages that one step returns to the file system.
constexpr int kPages = 250;

std::int64_t to_unix_hour(Wall t) {
  return to_unix(t) / 3600;
}

void next_stage(Sweep& sweep) {
  sweep.stage = static_cast<Sweep::Stage>(static_cast<int>(sweep.stage) + 1);
  sweep.bot = sweep.row = 0;
}

/// The last row of the next `kRows` after `row`, by a query that finds it; nothing: there are fewer.
std::optional<std::int64_t> end_of_step(db::Connection& db, std::string_view sql, std::int64_t row) {
  auto rows = db.query(sql, row, kRows - 1);
  if (!rows.next()) return std::nullopt;
  return rows.integer(0);
}

/// What no sweep by turns finds: a few rows.
void prune_rest_of_ledger(db::Connection& db, std::int64_t before, Sweep& sweep) {
  sweep.rows_changed += db.run("DELETE FROM attempts WHERE ended_at < $1", before);
  sweep.rows_changed +=
      db.run("DELETE FROM members WHERE standing = $1 AND last_reply < $2", Standing::Stranger, before);
  sweep.rows_changed += db.run("DELETE FROM dead_letters WHERE died_at < $1", before);
  sweep.rows_changed += db.run("DELETE FROM open_turns WHERE held = 1 AND asked_at < $1", before);
}

/// From the oldest on, until a step ends at a turn that is young enough. A turn that is still to be shown
/// stays.
void prune_turns(db::Connection& db, std::int64_t before, Sweep& sweep) {
  if (sweep.row == 0) prune_rest_of_ledger(db, before, sweep);
  const auto end = end_of_step(
      db, "SELECT turn_id FROM turns WHERE turn_id > $1 ORDER BY turn_id LIMIT 1 OFFSET $2", sweep.row);
  const std::int64_t last = end.value_or(INT64_MAX);
  sweep.rows_changed += db.run(
      "DELETE FROM turns WHERE turn_id > $1 AND turn_id <= $2 AND settled_at < $3 "
      "AND turn_id NOT IN (SELECT turn_id FROM open_turns)",
      sweep.row, last, before);
  sweep.row = last;
  bool young = !end;
  if (end) {
    auto rows = db.query("SELECT 1 FROM turns WHERE turn_id = $1 AND settled_at >= $2", last, before);
    young = rows.next();
  }
  if (young) next_stage(sweep);
}

/// All of them: after a quiet week ids restart anywhere, so their order says nothing about their age.
void prune_updates(db::Connection& db, std::int64_t before, Sweep& sweep) {
  std::int64_t bot = INT64_MAX;
  std::int64_t last = INT64_MAX;
  bool more = false;
  {
    auto rows = db.query(
        "SELECT bot_id, update_id FROM updates WHERE (bot_id, update_id) > ($1, $2) ORDER BY bot_id, "
        "update_id "
        "LIMIT 1 OFFSET $3",
        sweep.bot, sweep.row, kRows - 1);
    more = rows.next();
    if (more) {
      bot = rows.integer(0);
      last = rows.integer(1);
    }
  }
  sweep.rows_changed += db.run(
      "DELETE FROM updates WHERE (bot_id, update_id) > ($1, $2) AND (bot_id, update_id) <= ($3, $4) AND "
      "seen_at <= $5",
      sweep.bot, sweep.row, bot, last, before);
  sweep.bot = bot;
  sweep.row = last;
  if (!more) next_stage(sweep);
}

/// Those that hold nothing any more: no turn, no choice.
void prune_conversations(db::Connection& db, Sweep& sweep) {
  const auto end = end_of_step(db,
                               "SELECT conversation_id FROM conversations WHERE conversation_id > $1 ORDER "
                               "BY conversation_id LIMIT 1 OFFSET $2",
                               sweep.row);
  const std::int64_t last = end.value_or(INT64_MAX);
  sweep.rows_changed += db.run(
      "DELETE FROM conversations WHERE conversation_id > $1 AND conversation_id <= $2 AND provider = '' AND "
      "model = '' "
      "AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.turn_id = conversations.last_turn) "
      "AND conversation_id NOT IN (SELECT conversation_id FROM open_turns) "
      "AND conversation_id NOT IN (SELECT conversation_id FROM dead_letters) "
      "AND conversation_id NOT IN (SELECT conversation_id FROM chosen_models)",
      sweep.row, last);
  sweep.row = last;
  if (!end) next_stage(sweep);
}

void forget_standing(db::Connection& db, std::int64_t bot_id, std::int64_t user_id, Sweep& sweep) {
  sweep.rows_changed += db.run("DELETE FROM members WHERE bot_id = $1 AND user_id = $2", bot_id, user_id);
  sweep.rows_changed += db.run("DELETE FROM open_turns WHERE bot_id = $1 AND user_id = $2", bot_id, user_id);
  sweep.rows_changed +=
      db.run("DELETE FROM dead_letters WHERE bot_id = $1 AND user_id = $2", bot_id, user_id);
  // A private chat has its user's id.
  sweep.rows_changed += db.run("DELETE FROM replies WHERE bot_id = $1 AND chat_id = $2", bot_id, user_id);
  db.run("DELETE FROM pauses WHERE bot_id = $1 AND chat_id = $2", bot_id, user_id);
  db.run(
      "DELETE FROM chosen_models WHERE conversation_id IN "
      "(SELECT conversation_id FROM conversations WHERE bot_id = $1 AND chat_id = $2)",
      bot_id, user_id);
  sweep.rows_changed +=
      db.run("DELETE FROM conversations WHERE bot_id = $1 AND chat_id = $2", bot_id, user_id);
}

void forget_usage(db::Connection& db, std::int64_t bot_id, std::int64_t user_id) {
  db.run(
      "INSERT INTO usage (bot_id, hour, user_id, provider, model, calls, lost, input_tokens, output_tokens, "
      "cache_read_tokens, cache_write_tokens) "
      "SELECT bot_id, hour, 0, provider, model, calls, lost, input_tokens, output_tokens, cache_read_tokens, "
      "cache_write_tokens FROM usage WHERE bot_id = $1 AND user_id = $2 "
      "ON CONFLICT (bot_id, hour, user_id, provider, model) DO UPDATE SET calls = usage.calls + "
      "excluded.calls, "
      "lost = usage.lost + excluded.lost, input_tokens = usage.input_tokens + excluded.input_tokens, "
      "output_tokens = usage.output_tokens + excluded.output_tokens, "
      "cache_read_tokens = usage.cache_read_tokens + excluded.cache_read_tokens, "
      "cache_write_tokens = usage.cache_write_tokens + excluded.cache_write_tokens",
      bot_id, user_id);
  db.run("DELETE FROM usage WHERE bot_id = $1 AND user_id = $2", bot_id, user_id);
}

/// Blanked, not deleted: in a group, other people's turns are chained through them.
void blank_turns(db::Connection& db, std::int64_t bot_id, std::int64_t user_id, Sweep& sweep) {
  const auto end = end_of_step(
      db, "SELECT turn_id FROM turns WHERE turn_id > $1 ORDER BY turn_id LIMIT 1 OFFSET $2", sweep.row);
  const std::int64_t last = end.value_or(INT64_MAX);
  sweep.rows_changed += db.run(
      "UPDATE turns SET question = '', answer = '', message_ids = '', chat_id = 0, user_id = 0 "
      "WHERE turn_id > $1 AND turn_id <= $2 AND bot_id = $3 AND user_id = $4",
      sweep.row, last, bot_id, user_id);
  sweep.row = last;
  if (!end) sweep.stage = Sweep::Stage::Pages;
}

}  // namespace

void book(db::Connection& db, std::int64_t bot_id, Wall now, std::int64_t user_id, const UsageLine& line) {
  db.run(
      "INSERT INTO usage (bot_id, hour, user_id, provider, model, calls, lost, input_tokens, output_tokens, "
      "cache_read_tokens, cache_write_tokens) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
      "ON CONFLICT (bot_id, hour, user_id, provider, model) DO UPDATE SET calls = usage.calls + "
      "excluded.calls, "
      "lost = usage.lost + excluded.lost, input_tokens = usage.input_tokens + excluded.input_tokens, "
      "output_tokens = usage.output_tokens + excluded.output_tokens, "
      "cache_read_tokens = usage.cache_read_tokens + excluded.cache_read_tokens, "
      "cache_write_tokens = usage.cache_write_tokens + excluded.cache_write_tokens",
      bot_id, to_unix_hour(now), user_id, line.provider, line.model, line.calls, line.lost,
      line.tokens.input_tokens, line.tokens.output_tokens, line.tokens.cache_read_tokens,
      line.tokens.cache_write_tokens);
}

UsageSum usage(db::Connection& db, std::int64_t bot_id, Wall since, std::optional<std::int64_t> user_id) {
  auto rows = db.query(
      "SELECT hour, provider, model, sum(calls), sum(lost), sum(input_tokens), sum(output_tokens), "
      "sum(cache_read_tokens), sum(cache_write_tokens) FROM usage "
      "WHERE bot_id = $1 AND hour >= $2 AND ($3 = 0 OR user_id = $4) "
      "GROUP BY hour, provider, model ORDER BY hour, provider, model",
      bot_id, to_unix_hour(since), user_id.has_value(), user_id.value_or(0));
  UsageSum sum;
  while (rows.next()) {
    UsageLine line{from_unix(rows.integer(0) * 3600), rows.text(1), rows.text(2),
                   rows.integer<std::uint64_t>(3), rows.integer<std::uint64_t>(4)};
    line.tokens = {rows.integer<std::uint64_t>(5), rows.integer<std::uint64_t>(6),
                   rows.integer<std::uint64_t>(7), rows.integer<std::uint64_t>(8)};
    sum.calls += line.calls;
    sum.tokens.input_tokens += line.tokens.input_tokens;
    sum.tokens.output_tokens += line.tokens.output_tokens;
    sum.tokens.cache_read_tokens += line.tokens.cache_read_tokens;
    sum.tokens.cache_write_tokens += line.tokens.cache_write_tokens;
    sum.lines.push_back(std::move(line));
  }
  return sum;
}

Sweep prune(db::Connection& db, const Cutoffs& before, Sweep sweep) {
  switch (sweep.stage) {
    case Sweep::Stage::Turns:
      prune_turns(db, to_unix_ms(before.turns), sweep);
      break;
    case Sweep::Stage::Updates:
      prune_updates(db, to_unix_ms(before.updates), sweep);
      break;
    case Sweep::Stage::Conversations:
      prune_conversations(db, sweep);
      break;
    case Sweep::Stage::Usage:
      sweep.rows_changed += db.run("DELETE FROM usage WHERE hour < $1", to_unix_hour(before.usage));
      sweep.rows_changed += end_pauses(db, before.now);
      next_stage(sweep);
      break;
    case Sweep::Stage::Pages:
      if (!db.give_back(kPages)) next_stage(sweep);
      break;
    case Sweep::Stage::Ended:
      break;
  }
  return sweep;
}

Sweep forget(db::Connection& db, std::int64_t bot_id, std::int64_t user_id, Sweep sweep) {
  if (sweep.stage == Sweep::Stage::Pages) {
    if (!db.give_back(kPages)) next_stage(sweep);
    return sweep;
  }
  if (sweep.row == 0) {
    forget_standing(db, bot_id, user_id, sweep);
    forget_usage(db, bot_id, user_id);
  }
  blank_turns(db, bot_id, user_id, sweep);
  return sweep;
}

}  // namespace katana::gateway::sql
