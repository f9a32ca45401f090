#include <charconv>

#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

OpenTurn read_open_turn(const db::Rows& rows) {
  OpenTurn turn;
  turn.turn_id = rows.integer(0);
  turn.chat = {rows.integer(1), rows.integer(2)};
  turn.user_id = rows.integer(3);
  turn.question_id = rows.integer(4);
  turn.group = rows.integer(5) != 0;
  turn.asked_at = from_unix_ms(rows.integer(6));
  turn.job = {job_id(turn.turn_id, rows.text(7)), rows.integer<std::uint32_t>(8)};
  turn.leased = rows.integer(9) != 0;
  turn.deaths = rows.integer<int>(10);
  turn.choice = {rows.text(11), rows.text(12)};
  turn.worker_id = rows.text(13);
  turn.settled = rows.integer(15) != 0;
  turn.answer = rows.text(16);
  int part = 0;
  for (const std::int64_t message_id : read_ids(rows.view(14))) {
    ++part;
    turn.parts.push_back({turn.turn_id * kOutboxStride + part, part, message_id});
  }
  return turn;
}

/// Those that `where` picks by one number, oldest first.
std::vector<OpenTurn> find(db::Connection& db, const char* where, std::int64_t number) {
  static const std::string kSelect =
      "SELECT o.turn_id, c.chat_id, c.thread_id, o.user_id, o.question_id, o.is_group, o.asked_at, "
      "o.job_key, o.attempt, o.leased, o.deaths, o.provider, o.model, o.worker_id, o.message_ids, "
      "CASE WHEN t.turn_id IS NULL THEN 0 ELSE 1 END, coalesce(t.answer, '') "
      "FROM open_turns o JOIN conversations c ON c.conversation_id = o.conversation_id "
      "LEFT JOIN turns t ON t.turn_id = o.turn_id WHERE ";
  std::vector<OpenTurn> out;
  auto rows = db.query(kSelect + where + " ORDER BY o.turn_id", number);
  while (rows.next())
    out.push_back(read_open_turn(rows));
  return out;
}

}  // namespace

std::vector<std::int64_t> read_ids(std::string_view text) {
  std::vector<std::int64_t> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    std::int64_t id = 0;
    const auto [next, failed] = std::from_chars(at, end, id);
    if (failed != std::errc{}) break;
    out.push_back(id);
    at = next + (next < end ? 1 : 0);
  }
  return out;
}

std::string write_ids(const std::vector<std::int64_t>& ids) {
  std::string out;
  for (const std::int64_t id : ids) {
    if (!out.empty()) out += ' ';
    out += std::to_string(id);
  }
  return out;
}

std::vector<OpenTurn> open_turns(db::Connection& db, std::int64_t bot_id) {
  return find(db, "o.held = 0 AND o.bot_id = $1", bot_id);
}

std::vector<OpenTurn> release_held(db::Connection& db, std::int64_t conversation_id) {
  auto held = find(db, "o.held = 1 AND o.conversation_id = $1", conversation_id);
  if (!held.empty())
    db.run("UPDATE open_turns SET held = 0 WHERE held = 1 AND conversation_id = $1", conversation_id);
  return held;
}

std::optional<OpenTurn> open_turn(db::Connection& db, std::int64_t turn_id) {
  auto found = find(db, "o.turn_id = $1", turn_id);
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

}  // namespace katana::gateway::sql
