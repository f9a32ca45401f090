#include <algorithm>

#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

struct Conversation {
  std::int64_t id = 0;
  std::int64_t chapter = 0;
  ChatChoice choice;
};

/// Remembers the update. False: it was seen in the last 48 hours.
bool first_seen(db::Connection& db, std::int64_t bot_id, const Intake& intake) {
  const std::int64_t seen_at = to_unix_ms(intake.seen_at);
  const std::int64_t forgotten = seen_at - Millis(kUpdateMemory).count();
  return db.run(
             "INSERT INTO updates (bot_id, update_id, seen_at) VALUES ($1, $2, $3) "
             "ON CONFLICT (bot_id, update_id) DO UPDATE SET seen_at = excluded.seen_at WHERE updates.seen_at "
             "<= $4",
             bot_id, intake.update_id, seen_at, forgotten) > 0;
}

std::optional<Conversation> find(db::Connection& db, std::int64_t bot_id, ChatKey chat) {
  auto rows = db.query(
      "SELECT conversation_id, chapter, provider, model FROM conversations "
      "WHERE bot_id = $1 AND chat_id = $2 AND thread_id = $3",
      bot_id, chat.chat_id, chat.thread_id);
  if (!rows.next()) return std::nullopt;
  return Conversation{rows.integer(0), rows.integer(1), {rows.text(2), rows.text(3)}};
}

Conversation find_or_begin(db::Connection& db, std::int64_t bot_id, ChatKey chat) {
  if (auto found = find(db, bot_id, chat)) return *found;
  db.run("INSERT INTO conversations (bot_id, chat_id, thread_id) VALUES ($1, $2, $3)", bot_id, chat.chat_id,
         chat.thread_id);
  return find(db, bot_id, chat).value_or(Conversation{});
}

std::string chosen_model(db::Connection& db, const Conversation& conversation) {
  auto rows = db.query("SELECT model FROM chosen_models WHERE conversation_id = $1 AND provider = $2",
                       conversation.id, conversation.choice.provider);
  return rows.next() ? rows.text(0) : std::string();
}

void change(db::Connection& db, std::int64_t bot_id, Conversation& conversation, const ChatChange& wanted) {
  ChatChoice& choice = conversation.choice;
  if (wanted.provider) {
    choice.provider = *wanted.provider;
    choice.model = chosen_model(db, conversation);
  }
  if (wanted.model) {
    choice.model = *wanted.model;
    db.run(
        "INSERT INTO chosen_models (bot_id, conversation_id, provider, model) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (conversation_id, provider) DO UPDATE SET model = excluded.model",
        bot_id, conversation.id, choice.provider, choice.model);
  }
  if (wanted.provider || wanted.model) {
    db.run("UPDATE conversations SET provider = $1, model = $2 WHERE conversation_id = $3", choice.provider,
           choice.model, conversation.id);
  }
  if (wanted.start_over) {
    ++conversation.chapter;
    db.run("UPDATE conversations SET chapter = $1, last_turn = 0 WHERE conversation_id = $2",
           conversation.chapter, conversation.id);
  }
}

/// Whether the note of an earlier late question still stands for this one too: nothing was answered after it.
bool note_stands(db::Connection& db, const Conversation& conversation) {
  return db
      .query(
          "SELECT 1 FROM open_turns WHERE conversation_id = $1 AND held = 1 AND "
          "turn_id > (SELECT last_turn FROM conversations WHERE conversation_id = $1)",
          conversation.id)
      .next();
}

OpenedTurn begin_turn(db::Connection& db, std::int64_t bot_id, const Conversation& conversation,
                      const Prompt& prompt, const Births& births) {
  db.run(
      "INSERT INTO open_turns (turn_id, bot_id, conversation_id, chapter, user_id, question_id, is_group, "
      "asked_at, "
      "job_key, attempt, leased, deaths, provider, model, worker_id, lease_provider, lease_model, leased_at, "
      "message_ids, question, held) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 0, 0, $10, $11, '', '', '', 0, '0', $12, $13)",
      births.turn_id, bot_id, conversation.id, conversation.chapter, prompt.user_id, prompt.message_id,
      prompt.group, to_unix_ms(prompt.asked_at), births.job_key, conversation.choice.provider,
      conversation.choice.model, prompt.text, prompt.held);
  return {births.turn_id, job_id(births.turn_id, births.job_key), births.turn_id * kOutboxStride + 1,
          conversation.choice};
}

}  // namespace

std::string job_id(std::int64_t turn_id, const std::string& job_key) {
  return std::to_string(turn_id) + "-" + job_key;
}

/// A conversation may outlive its last turn, which was pruned: that turn's id must never be another one's.
Highest highest(db::Connection& db) {
  Highest found;
  auto rows = db.query(
      "SELECT (SELECT coalesce(max(turn_id), 0) FROM open_turns), (SELECT coalesce(max(turn_id), 0) FROM "
      "turns), (SELECT coalesce(max(last_turn), 0) FROM conversations), "
      "(SELECT coalesce(max(turn_id), 0) FROM dead_letters), (SELECT coalesce(max(reply_id), 0) FROM "
      "replies)");
  if (rows.next()) {
    found = {std::max({rows.integer(0), rows.integer(1), rows.integer(2), rows.integer(3)}), rows.integer(4)};
  }
  return found;
}

bool is_stored(db::Connection& db, std::int64_t bot_id, std::int64_t update_id) {
  return db.query("SELECT 1 FROM updates WHERE bot_id = $1 AND update_id = $2", bot_id, update_id).next();
}

Accepted accept(db::Connection& db, std::int64_t bot_id, const Intake& intake, const Births& births) {
  Accepted out;
  if (!first_seen(db, bot_id, intake)) {
    out.duplicate = true;
    return out;
  }
  if (intake.moved_from != 0) migrate_chat(db, bot_id, intake.moved_from, intake.chat.chat_id);
  bool note = false;
  if (intake.change || intake.prompt || intake.release_held) {
    Conversation conversation = find_or_begin(db, bot_id, intake.chat);
    if (intake.change) change(db, bot_id, conversation, *intake.change);
    note = intake.held_note && !note_stands(db, conversation);
    if (intake.prompt) out.turn = begin_turn(db, bot_id, conversation, *intake.prompt, births);
    if (intake.release_held) out.released = release_held(db, conversation.id);
  }
  std::int64_t reply_id = births.first_reply;
  for (const Reply& reply : intake.replies) {
    add_reply(db, bot_id, reply_id, intake.chat, reply);
    out.reply_ids.push_back(reply_id++ * kOutboxStride);
  }
  if (note) {
    add_reply(db, bot_id, reply_id, intake.chat, *intake.held_note);
    out.held_note_id = reply_id * kOutboxStride;
  }
  return out;
}

void add_reply(db::Connection& db, std::int64_t bot_id, std::int64_t reply_id, ChatKey chat,
               const Reply& reply) {
  db.run(
      "INSERT INTO replies (reply_id, bot_id, chat_id, thread_id, attempted, reply_to, layout, text) "
      "VALUES ($1, $2, $3, $4, 0, $5, $6, $7)",
      reply_id, bot_id, chat.chat_id, chat.thread_id, reply.reply_to, write_layout(reply), reply.text);
}

ChatChoice choice(db::Connection& db, std::int64_t bot_id, ChatKey chat) {
  return find(db, bot_id, chat).value_or(Conversation{}).choice;
}

void put_member(db::Connection& db, std::int64_t bot_id, const Member& member) {
  db.run(
      "INSERT INTO members (bot_id, user_id, standing, pairing_code, last_reply) VALUES ($1, $2, $3, $4, $5) "
      "ON CONFLICT (bot_id, user_id) DO UPDATE SET standing = excluded.standing, "
      "pairing_code = excluded.pairing_code, last_reply = excluded.last_reply",
      bot_id, member.user_id, member.standing, member.pairing_code, to_unix_ms(member.last_reply));
}

std::vector<Member> members(db::Connection& db, std::int64_t bot_id) {
  std::vector<Member> out;
  auto rows = db.query(
      "SELECT user_id, standing, pairing_code, last_reply FROM members WHERE bot_id = $1 ORDER BY user_id",
      bot_id);
  while (rows.next()) {
    out.push_back({rows.integer(0), rows.integer<Standing>(1), rows.text(2), from_unix_ms(rows.integer(3))});
  }
  return out;
}

}  // namespace katana::gateway::sql
