#include <algorithm>

#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

std::optional<std::vector<std::int64_t>> parts_of(db::Connection& db, std::int64_t turn_id) {
  auto rows = db.query("SELECT message_ids FROM open_turns WHERE turn_id = $1", turn_id);
  if (!rows.next()) return std::nullopt;
  return read_ids(rows.view(0));
}

void write_parts(db::Connection& db, std::int64_t turn_id, const std::vector<std::int64_t>& ids) {
  db.run("UPDATE open_turns SET message_ids = $1 WHERE turn_id = $2", write_ids(ids), turn_id);
}

std::string turn_name(std::int64_t turn_id) {
  return "turn " + std::to_string(turn_id);
}

/// The conversation's oldest turn that is told to the model; 0: none.
std::int64_t oldest_of(db::Connection& db, std::int64_t last_turn) {
  std::int64_t oldest = 0;
  while (last_turn != 0) {
    auto rows = db.query("SELECT previous FROM turns WHERE turn_id = $1", last_turn);
    if (!rows.next()) break;
    oldest = last_turn;
    last_turn = rows.integer(0);
  }
  return oldest;
}

/// Puts the history of one conversation before that of another, unless that has started over.
void join_history(db::Connection& db, std::int64_t from, std::int64_t to) {
  std::int64_t last_turn = 0;
  {
    auto rows =
        db.query("SELECT last_turn FROM conversations WHERE conversation_id = $1 AND chapter = 0", to);
    if (!rows.next()) return;
    last_turn = rows.integer(0);
  }
  if (const std::int64_t oldest = oldest_of(db, last_turn); oldest != 0) {
    db.run(
        "UPDATE turns SET previous = (SELECT last_turn FROM conversations WHERE conversation_id = $1) "
        "WHERE turn_id = $2",
        from, oldest);
  } else {
    db.run(
        "UPDATE conversations SET last_turn = (SELECT last_turn FROM conversations WHERE conversation_id = "
        "$1) "
        "WHERE conversation_id = $2",
        from, to);
  }
}

/// People already wrote under the new id. What they have chosen there counts, else what was chosen before.
void merge(db::Connection& db, std::int64_t from, std::int64_t to) {
  join_history(db, from, to);
  db.run(
      "UPDATE conversations SET provider = f.provider, model = f.model FROM (SELECT provider, model "
      "FROM conversations WHERE conversation_id = $1) AS f "
      "WHERE conversation_id = $2 AND conversations.provider = '' AND conversations.model = ''",
      from, to);
  db.run(
      "UPDATE open_turns SET conversation_id = $1, chapter = (SELECT chapter FROM conversations "
      "WHERE conversation_id = $1) WHERE conversation_id = $2",
      to, from);
  db.run("UPDATE dead_letters SET conversation_id = $1 WHERE conversation_id = $2", to, from);
  db.run("DELETE FROM chosen_models WHERE conversation_id = $1", from);
  db.run("DELETE FROM conversations WHERE conversation_id = $1", from);
}

/// Message ids are those of the old chat: its messages stay behind.
void leave_messages(db::Connection& db, std::int64_t conversation) {
  std::vector<std::pair<std::int64_t, std::size_t>> open;  // turn, parts
  {
    auto rows =
        db.query("SELECT turn_id, message_ids FROM open_turns WHERE conversation_id = $1", conversation);
    while (rows.next())
      open.emplace_back(rows.integer(0), read_ids(rows.view(1)).size());
  }
  for (const auto& [turn_id, parts] : open)
    write_parts(db, turn_id, std::vector<std::int64_t>(parts, 0));
  db.run("UPDATE open_turns SET question_id = 0 WHERE conversation_id = $1", conversation);
}

std::int64_t conversation_of(db::Connection& db, std::int64_t bot_id, ChatKey chat) {
  auto rows = db.query(
      "SELECT conversation_id FROM conversations WHERE bot_id = $1 AND chat_id = $2 AND thread_id = $3",
      bot_id, chat.chat_id, chat.thread_id);
  return rows.next() ? rows.integer(0) : 0;
}

/// A clock that was set back doesn't make a wait longer than it was; one that was set forward may end it
/// early, and then Telegram says so again.
std::vector<Pause> pauses(db::Connection& db, std::int64_t bot_id, Wall now) {
  end_pauses(db, now);
  std::vector<Pause> out;
  auto rows = db.query(
      "SELECT chat_id, set_at + length_ms - $1, length_ms FROM pauses WHERE bot_id = $2 ORDER BY chat_id",
      to_unix_ms(now), bot_id);
  while (rows.next())
    out.push_back({rows.integer(0), Millis{std::min(rows.integer(1), rows.integer(2))}});
  return out;
}

}  // namespace

Result<AnswerPart> add_part(db::Connection& db, std::int64_t turn_id, int part) {
  auto ids = parts_of(db, turn_id);
  if (!ids) return fail(Code::Rejected, turn_name(turn_id) + " is not open");
  const int known = static_cast<int>(ids->size());
  if (part < 1 || part > kMaxParts || part > known + 1) {
    return fail(Code::Rejected, turn_name(turn_id) + ": part " + std::to_string(part) + " after " +
                                    std::to_string(known) + " parts (at most " + std::to_string(kMaxParts) +
                                    ")");
  }
  const AnswerPart out{turn_id * kOutboxStride + part, part,
                       part <= known ? (*ids)[static_cast<std::size_t>(part) - 1] : 0};
  if (part > known) {
    ids->push_back(0);
    write_parts(db, turn_id, *ids);
  }
  return out;
}

Result<Nothing> part_sent(db::Connection& db, std::int64_t outbox_id, std::int64_t message_id) {
  const std::int64_t turn_id = outbox_id / kOutboxStride;
  const auto part = static_cast<std::size_t>(outbox_id % kOutboxStride);
  auto ids = parts_of(db, turn_id);
  if (!ids || part < 1 || part > ids->size()) {
    return fail(Code::Rejected, turn_name(turn_id) + " has no open part " + std::to_string(part));
  }
  (*ids)[part - 1] = message_id;
  write_parts(db, turn_id, *ids);
  return Nothing{};
}

Result<Nothing> answer_delivered(db::Connection& db, std::int64_t turn_id, const std::string& abandoned,
                                 Wall now) {
  {
    auto rows = db.query(
        "SELECT EXISTS (SELECT 1 FROM open_turns WHERE turn_id = $1), EXISTS (SELECT 1 FROM turns WHERE "
        "turn_id = $1)",
        turn_id);
    if (!rows.next() || rows.integer(0) == 0) return Nothing{};  // repeated: it is done
    if (rows.integer(1) == 0) return fail(Code::Rejected, turn_name(turn_id) + " is not settled");
  }
  db.run(
      "UPDATE turns SET delivered_at = $1, abandoned = $2, "
      "message_ids = (SELECT message_ids FROM open_turns WHERE turn_id = $3) WHERE turn_id = $3",
      to_unix_ms(now), abandoned, turn_id);
  db.run("DELETE FROM open_turns WHERE turn_id = $1", turn_id);
  return Nothing{};
}

void reply_attempting(db::Connection& db, std::int64_t outbox_id) {
  db.run("UPDATE replies SET attempted = 1 WHERE reply_id = $1", outbox_id / kOutboxStride);
}

void reply_done(db::Connection& db, std::int64_t outbox_id) {
  db.run("DELETE FROM replies WHERE reply_id = $1", outbox_id / kOutboxStride);
}

void pause(db::Connection& db, std::int64_t bot_id, std::int64_t chat_id, Millis length, Wall now) {
  db.run(
      "INSERT INTO pauses (bot_id, chat_id, set_at, length_ms) VALUES ($1, $2, $3, $4) "
      "ON CONFLICT (bot_id, chat_id) DO UPDATE SET set_at = excluded.set_at, length_ms = excluded.length_ms",
      bot_id, chat_id, to_unix_ms(now), length.count());
}

std::uint64_t end_pauses(db::Connection& db, Wall now) {
  return db.run("DELETE FROM pauses WHERE set_at + length_ms <= $1", to_unix_ms(now));
}

/// A group that moves leaves its pause behind: nothing goes to the old id any more, and the limits of the new
/// one are its own.
void migrate_chat(db::Connection& db, std::int64_t bot_id, std::int64_t from, std::int64_t to) {
  if (from == to) return;
  std::vector<std::pair<std::int64_t, std::int64_t>> moving;  // conversation, thread
  {
    auto rows =
        db.query("SELECT conversation_id, thread_id FROM conversations WHERE bot_id = $1 AND chat_id = $2",
                 bot_id, from);
    while (rows.next())
      moving.emplace_back(rows.integer(0), rows.integer(1));
  }
  for (const auto& [conversation, thread] : moving) {
    leave_messages(db, conversation);
    if (const std::int64_t there = conversation_of(db, bot_id, {to, thread}); there != 0) {
      merge(db, conversation, there);
    } else {
      db.run("UPDATE conversations SET chat_id = $1 WHERE conversation_id = $2", to, conversation);
    }
  }
  db.run("UPDATE replies SET chat_id = $1, reply_to = 0 WHERE bot_id = $2 AND chat_id = $3", to, bot_id,
         from);
}

Unfinished unfinished(db::Connection& db, std::int64_t bot_id, Wall now) {
  Unfinished out;
  out.turns = open_turns(db, bot_id);
  auto replies = db.query(
      "SELECT reply_id, chat_id, thread_id, attempted, reply_to, layout, text FROM replies WHERE bot_id = $1 "
      "ORDER BY reply_id",
      bot_id);
  while (replies.next()) {
    OpenReply open;
    open.outbox_id = replies.integer(0) * kOutboxStride;
    open.chat = {replies.integer(1), replies.integer(2)};
    open.attempted = replies.integer(3) != 0;
    open.reply.reply_to = replies.integer(4);
    open.reply.text = replies.text(6);
    read_layout(replies.view(5), open.reply);
    out.replies.push_back(std::move(open));
  }
  out.pauses = pauses(db, bot_id, now);
  return out;
}

}  // namespace katana::gateway::sql
