#include <charconv>

#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

/// A job that isn't settled.
struct OpenJob {
  std::int64_t turn_id = 0;
  std::int64_t conversation_id = 0;
  std::int64_t chapter = 0;
  std::int64_t user_id = 0;
  std::int64_t asked_at = 0;
  std::uint32_t attempt = 0;
  bool leased = false;
  std::string worker_id;
  std::string provider;  ///< of the lease
  std::string model;
  std::int64_t leased_at = 0;
  std::string question;
  std::string message_ids;
};

std::optional<OpenJob> find(db::Connection& db, std::int64_t bot_id, const std::string& job_id) {
  const auto turn_id = turn_of(job_id);
  const auto dash = job_id.find('-');
  if (!turn_id || dash == std::string::npos) return std::nullopt;
  auto rows = db.query(
      "SELECT conversation_id, chapter, user_id, asked_at, attempt, leased, worker_id, lease_provider, "
      "lease_model, leased_at, question, message_ids FROM open_turns o WHERE turn_id = $1 AND bot_id = $2 "
      "AND job_key = "
      "$3 "
      "AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.turn_id = o.turn_id)",
      *turn_id, bot_id, std::string_view(job_id).substr(dash + 1));
  if (!rows.next()) return std::nullopt;
  return OpenJob{*turn_id,
                 rows.integer(0),
                 rows.integer(1),
                 rows.integer(2),
                 rows.integer(3),
                 rows.integer<std::uint32_t>(4),
                 rows.integer(5) != 0,
                 rows.text(6),
                 rows.text(7),
                 rows.text(8),
                 rows.integer(9),
                 rows.text(10),
                 rows.text(11)};
}

/// Where the job's conversation ends now; 0 when it has started over since the question.
std::int64_t last_turn_of(db::Connection& db, const OpenJob& job) {
  auto rows = db.query("SELECT last_turn FROM conversations WHERE conversation_id = $1 AND chapter = $2",
                       job.conversation_id, job.chapter);
  return rows.next() ? rows.integer(0) : 0;
}

/// Where a settled turn stands in its conversation.
struct Place {
  std::int64_t chat_id = 0;
  std::int64_t previous = 0;
  bool in_history = false;  ///< answered, and the conversation has not started over since it was asked
};

Place place(db::Connection& db, const OpenJob& job, bool answered) {
  Place out;
  auto rows = db.query("SELECT chat_id, last_turn, chapter FROM conversations WHERE conversation_id = $1",
                       job.conversation_id);
  if (!rows.next()) return out;
  out.chat_id = rows.integer(0);
  out.in_history = answered && rows.integer(2) == job.chapter;
  if (out.in_history) out.previous = rows.integer(1);
  return out;
}

void write_turn(db::Connection& db, std::int64_t bot_id, const OpenJob& job, const Settlement& s,
                const Place& place, Wall now) {
  db.run(
      "INSERT INTO turns (turn_id, bot_id, chat_id, user_id, previous, answered, attempt, asked_at, "
      "settled_at, "
      "provider, model, error_code, request_id, input_tokens, output_tokens, cache_read_tokens, "
      "cache_write_tokens, "
      "question, answer, worker_id, leased_at, accepted_at, first_text_at, delivered_at, "
      "message_ids) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
      "$21, $22, $23, $24, $25)",
      job.turn_id, bot_id, place.chat_id, job.user_id, place.previous, s.answered, job.attempt, job.asked_at,
      to_unix_ms(now), s.provider, s.model, s.error_code, s.request_id, s.usage.input_tokens,
      s.usage.output_tokens, s.usage.cache_read_tokens, s.usage.cache_write_tokens,
      s.answered ? std::string_view(job.question) : std::string_view(), s.text, job.worker_id, job.leased_at,
      to_unix_ms(s.steps.accepted_at), to_unix_ms(s.steps.first_text_at), to_unix_ms(now), job.message_ids);
  if (place.in_history) {
    db.run("UPDATE conversations SET last_turn = $1 WHERE conversation_id = $2", job.turn_id,
           job.conversation_id);
  }
}

/// The question stays behind for an operator's word.
void bury(db::Connection& db, const OpenJob& job, Wall now) {
  db.run(
      "INSERT INTO dead_letters (turn_id, bot_id, conversation_id, user_id, question_id, is_group, asked_at, "
      "died_at, provider, model, job_key, question) "
      "SELECT turn_id, bot_id, conversation_id, user_id, question_id, is_group, asked_at, $1, provider, "
      "model, "
      "job_key, question FROM open_turns WHERE turn_id = $2",
      to_unix_ms(now), job.turn_id);
}

}  // namespace

std::optional<std::int64_t> turn_of(std::string_view id) {
  std::int64_t turn_id = 0;
  const char* end = id.data() + id.size();
  const auto [rest, failed] = std::from_chars(id.data(), end, turn_id);
  if (failed != std::errc{} || (rest != end && *rest != '-')) return std::nullopt;
  return turn_id;
}

Result<LeasedJob> lease(db::Connection& db, Histories& histories, std::int64_t bot_id, const Lease& lease) {
  auto job = find(db, bot_id, lease.job.job_id);
  if (!job || job->attempt != lease.job.attempt) {
    return fail(Code::Rejected, "job " + lease.job.job_id + ": this attempt is over");
  }
  if (job->leased && job->worker_id != lease.worker_id) {
    return fail(Code::Rejected, "job " + lease.job.job_id + ": leased to another worker");
  }
  if (!job->leased) {
    db.run(
        "UPDATE open_turns SET leased = 1, worker_id = $1, lease_provider = $2, lease_model = $3, leased_at "
        "= $4, deaths = $5 WHERE turn_id = $6",
        lease.worker_id, lease.provider, lease.model, to_unix_ms(lease.now), lease.deaths, job->turn_id);
  }
  LeasedJob out{lease.job, histories.tell(db, job->conversation_id, last_turn_of(db, *job))};
  out.turns.push_back({bus::Speaker::User, std::move(job->question)});
  return out;
}

Result<bus::JobRef> requeue(db::Connection& db, std::int64_t bot_id, const bus::JobRef& ref,
                            const AttemptEnd& end, Wall now) {
  const auto job = find(db, bot_id, ref.job_id);
  if (!job || job->attempt != ref.attempt || !job->leased) {
    return fail(Code::Rejected, "job " + ref.job_id + ": this attempt is not leased");
  }
  db.run(
      "INSERT INTO attempts (turn_id, attempt, bot_id, provider, model, worker_id, leased_at, accepted_at, "
      "first_text_at, ended_at, ending, request_id, input_tokens, output_tokens, cache_read_tokens, "
      "cache_write_tokens) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
      job->turn_id, job->attempt, bot_id, job->provider, job->model, job->worker_id, job->leased_at,
      to_unix_ms(end.steps.accepted_at), to_unix_ms(end.steps.first_text_at), to_unix_ms(now), end.ending,
      end.request_id, end.usage.input_tokens, end.usage.output_tokens, end.usage.cache_read_tokens,
      end.usage.cache_write_tokens);
  db.run(
      "UPDATE open_turns SET attempt = attempt + 1, deaths = $1, leased = 0, worker_id = '', "
      "lease_provider = '', lease_model = '', leased_at = 0 WHERE turn_id = $2",
      end.deaths, job->turn_id);
  UsageLine line;
  line.provider = job->provider;
  line.model = job->model;
  line.calls = 1;
  line.lost = end.usage == bus::Usage{} ? 1 : 0;
  line.tokens = end.usage;
  book(db, bot_id, now, job->user_id, line);
  return bus::JobRef{ref.job_id, ref.attempt + 1};
}

Result<Settled> settle(db::Connection& db, Histories& histories, std::int64_t bot_id,
                       const Settlement& settlement, Wall now) {
  if (settlement.text.size() > kMaxAnswer) {
    return fail(Code::Rejected,
                "job " + settlement.job.job_id + ": the answer is longer than a frame may be");
  }
  const auto job = find(db, bot_id, settlement.job.job_id);
  if (!job || job->attempt != settlement.job.attempt) return Settled::Stale;
  const Place at = place(db, *job, settlement.answered);
  write_turn(db, bot_id, *job, settlement, at, now);
  if (settlement.dead) bury(db, *job, now);
  if (at.in_history) {
    histories.append(job->conversation_id, at.previous, job->turn_id, job->question, settlement.text);
  }
  if (job->leased || settlement.usage != bus::Usage{}) {
    UsageLine line;
    // As it was asked for, so that lost calls and finished ones add up under one name.
    line.provider = job->leased ? job->provider : settlement.provider;
    line.model = job->leased ? job->model : settlement.model;
    line.calls = 1;
    line.tokens = settlement.usage;
    book(db, bot_id, now, job->user_id, line);
  }
  return Settled::Applied;
}

}  // namespace katana::gateway::sql
