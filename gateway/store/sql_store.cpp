#include "gateway/store/sql_store.hpp"

#include "common/core/id.hpp"
#include "common/db/migration.hpp"
#include "common/db/sqlite.hpp"
#include "gateway/store/rescue.hpp"
#include "gateway/store/schema.hpp"

namespace katana::gateway {
namespace {

constexpr std::size_t kJobKeyCharacters = 8;
/// A quiet store is written to this often, so that a full disk is told of before the next message comes.
constexpr Millis kTouchEvery{60'000};

}  // namespace

SqlStore::SqlStore(loop::Loop& loop, const Clock& clock, std::unique_ptr<db::Connection> connection,
                   std::int64_t bot_id, sql::Highest highest, std::string path)
    : clock_(clock),
      bot_id_(bot_id),
      path_(std::move(path)),
      last_turn_(highest.turn_id),
      last_reply_(highest.reply_id),
      last_touch_(clock.mono()),
      thread_(loop, std::move(connection)) {}

void SqlStore::accept(std::vector<Intake> batch, Done<std::vector<Accepted>> done) {
  std::vector<sql::Births> births;
  births.reserve(batch.size());
  for (const Intake& intake : batch) {
    sql::Births& born = births.emplace_back();
    if (intake.prompt) {
      born.turn_id = ++last_turn_;
      born.job_key = fresh_id(kJobKeyCharacters);
    }
    born.first_reply = last_reply_ + 1;
    last_reply_ += static_cast<std::int64_t>(intake.replies.size()) + (intake.held_note ? 1 : 0);
  }
  submit<std::vector<Accepted>>(
      [this, bot = bot_id_, batch = std::move(batch),
       births = std::move(births)](db::Connection& db) -> Result<std::vector<Accepted>> {
        const std::int64_t before = batch.empty() ? 0 : batch.front().follows;
        if (before != 0 && !sql::is_stored(db, bot, before)) {
          return fail(Code::Internal,
                      "update " + std::to_string(before) + ", which comes before these, is not stored");
        }
        std::vector<Accepted> out;
        out.reserve(batch.size());
        for (std::size_t i = 0; i < batch.size(); ++i) {
          if (batch[i].moved_from != 0) histories_.clear();
          out.push_back(sql::accept(db, bot, batch[i], births[i]));
        }
        return out;
      },
      std::move(done));
}

void SqlStore::lease(bus::JobRef job, std::string worker_id, std::string provider, std::string model,
                     int deaths, Done<LeasedJob> done) {
  submit<LeasedJob>([this, bot = bot_id_,
                     lease = sql::Lease{std::move(job), std::move(worker_id), std::move(provider),
                                        std::move(model), deaths, clock_.wall()}](
                        db::Connection& db) { return sql::lease(db, histories_, bot, lease); },
                    std::move(done));
}

void SqlStore::requeue(bus::JobRef job, AttemptEnd end, Done<bus::JobRef> done) {
  submit<bus::JobRef>([bot = bot_id_, job = std::move(job), end = std::move(end), now = clock_.wall()](
                          db::Connection& db) { return sql::requeue(db, bot, job, end, now); },
                      std::move(done));
}

void SqlStore::settle(Settlement settlement, Done<Settled> done) {
  submit<Settled>([this, bot = bot_id_, settlement = std::move(settlement), now = clock_.wall()](
                      db::Connection& db) { return sql::settle(db, histories_, bot, settlement, now); },
                  std::move(done));
}

void SqlStore::add_part(std::int64_t turn_id, int part, Done<AnswerPart> done) {
  submit<AnswerPart>([turn_id, part](db::Connection& db) { return sql::add_part(db, turn_id, part); },
                     std::move(done));
}

void SqlStore::part_sent(std::int64_t outbox_id, std::int64_t message_id, Done<Nothing> done) {
  submit<Nothing>(
      [outbox_id, message_id](db::Connection& db) { return sql::part_sent(db, outbox_id, message_id); },
      std::move(done));
}

void SqlStore::answer_delivered(std::int64_t turn_id, std::string abandoned, Done<Nothing> done) {
  submit<Nothing>([turn_id, abandoned = std::move(abandoned), now = clock_.wall()](
                      db::Connection& db) { return sql::answer_delivered(db, turn_id, abandoned, now); },
                  std::move(done));
}

void SqlStore::reply_attempting(std::int64_t outbox_id, Done<Nothing> done) {
  submit<Nothing>(
      [outbox_id](db::Connection& db) -> Result<Nothing> {
        sql::reply_attempting(db, outbox_id);
        return Nothing{};
      },
      std::move(done));
}

/// Its row goes, whatever became of it: a note holds nothing that is asked for later.
void SqlStore::reply_done(std::int64_t outbox_id, std::int64_t /*message_id*/, std::string /*abandoned*/,
                          Done<Nothing> done) {
  submit<Nothing>(
      [outbox_id](db::Connection& db) -> Result<Nothing> {
        sql::reply_done(db, outbox_id);
        return Nothing{};
      },
      std::move(done));
}

void SqlStore::add_reply(ChatKey chat, Reply reply, Done<std::int64_t> done) {
  submit<std::int64_t>(
      [bot = bot_id_, id = ++last_reply_, chat,
       reply = std::move(reply)](db::Connection& db) -> Result<std::int64_t> {
        sql::add_reply(db, bot, id, chat, reply);
        return id * sql::kOutboxStride;
      },
      std::move(done));
}

void SqlStore::pause(std::int64_t chat_id, Millis length, Done<Nothing> done) {
  submit<Nothing>(
      [bot = bot_id_, chat_id, length, now = clock_.wall()](db::Connection& db) -> Result<Nothing> {
        sql::pause(db, bot, chat_id, length, now);
        return Nothing{};
      },
      std::move(done));
}

void SqlStore::migrate_chat(std::int64_t from, std::int64_t to, Done<Nothing> done) {
  submit<Nothing>(
      [this, bot = bot_id_, from, to](db::Connection& db) -> Result<Nothing> {
        histories_.clear();
        sql::migrate_chat(db, bot, from, to);
        return Nothing{};
      },
      std::move(done));
}

void SqlStore::unfinished(Done<Unfinished> done) {
  submit<Unfinished>([bot = bot_id_, now = clock_.wall()](
                         db::Connection& db) -> Result<Unfinished> { return sql::unfinished(db, bot, now); },
                     std::move(done));
}

void SqlStore::members(Done<std::vector<Member>> done) {
  submit<std::vector<Member>>(
      [bot = bot_id_](db::Connection& db) -> Result<std::vector<Member>> { return sql::members(db, bot); },
      std::move(done));
}

void SqlStore::choice(ChatKey chat, Done<ChatChoice> done) {
  submit<ChatChoice>(
      [bot = bot_id_, chat](db::Connection& db) -> Result<ChatChoice> { return sql::choice(db, bot, chat); },
      std::move(done));
}

void SqlStore::put_member(Member member, Done<Nothing> done) {
  submit<Nothing>(
      [bot = bot_id_, member = std::move(member)](db::Connection& db) -> Result<Nothing> {
        sql::put_member(db, bot, member);
        return Nothing{};
      },
      std::move(done));
}

void SqlStore::trace(std::string id, Done<std::optional<Trace>> done) {
  submit<std::optional<Trace>>(
      [bot = bot_id_, id = std::move(id)](db::Connection& db) -> Result<std::optional<Trace>> {
        const auto turn_id = sql::turn_of(id);
        if (!turn_id) return std::nullopt;
        return sql::trace(db, bot, *turn_id);
      },
      std::move(done));
}

void SqlStore::dead_letters(Done<std::vector<DeadLetter>> done) {
  submit<std::vector<DeadLetter>>(
      [bot = bot_id_](db::Connection& db) -> Result<std::vector<DeadLetter>> {
        return sql::dead_letters(db, bot);
      },
      std::move(done));
}

void SqlStore::retry_dead_letter(std::int64_t turn_id, Done<OpenTurn> done) {
  const sql::Births births{.turn_id = ++last_turn_, .job_key = fresh_id(kJobKeyCharacters)};
  submit<OpenTurn>([bot = bot_id_, turn_id,
                    births](db::Connection& db) { return sql::retry_dead_letter(db, bot, turn_id, births); },
                   std::move(done));
}

void SqlStore::drop_dead_letter(std::int64_t turn_id, Done<Nothing> done) {
  submit<Nothing>(
      [bot = bot_id_, turn_id](db::Connection& db) { return sql::drop_dead_letter(db, bot, turn_id); },
      std::move(done));
}

void SqlStore::sweep(Step step, sql::Sweep from, Done<std::uint64_t> done) {
  thread_.submit<sql::Sweep>(
      [this, step, from](db::Connection& db) -> Result<sql::Sweep> {
        histories_.clear();
        return step(db, from);
      },
      nullptr,
      [this, step, done = std::move(done)](Result<sql::Sweep> reached) mutable {
        if (reached && reached->stage != sql::Sweep::Stage::Ended) {
          sweep(std::move(step), *reached, std::move(done));
          return;
        }
        auto changed = reached.map([](const sql::Sweep& at) { return at.rows_changed; });
        if (done.applied) done.applied(changed);
        if (done.durable) done.durable(std::move(changed));
      });
}

void SqlStore::prune(Wall now, Seconds retention, Done<std::uint64_t> done) {
  const sql::Cutoffs before{now - retention, now - sql::kUpdateMemory, now - sql::kUsageMemory, now};
  thread_.submit_outside<std::uint64_t>(
      [path = path_, before](db::Connection&) -> Result<std::uint64_t> {
        return path.empty() ? 0 : remove_old_copies(path, before.turns);
      },
      [this, before, done = std::move(done)](const Result<std::uint64_t>& copies) mutable {
        sql::Sweep from;
        from.rows_changed = copies.value_or(0);
        sweep([before](db::Connection& db, sql::Sweep at) { return sql::prune(db, before, at); }, from,
              std::move(done));
      });
}

void SqlStore::forget(std::int64_t user_id, Done<std::uint64_t> done) {
  sweep([bot = bot_id_, user_id](db::Connection& db,
                                 sql::Sweep at) { return sql::forget(db, bot, user_id, at); },
        {}, std::move(done));
}

void SqlStore::usage(Wall since, std::optional<std::int64_t> user_id, Done<UsageSum> done) {
  submit<UsageSum>(
      [bot = bot_id_, since, user_id](db::Connection& db) -> Result<UsageSum> {
        return sql::usage(db, bot, since, user_id);
      },
      std::move(done));
}

void SqlStore::backup(std::string path, Done<Nothing> done) {
  copy(std::make_shared<std::unique_ptr<db::Copy>>(), std::move(path), std::move(done));
}

/// One step of a copy, which begins with the first one and lives on the database thread.
void SqlStore::copy(std::shared_ptr<std::unique_ptr<db::Copy>> copy_under_way, std::string path,
                    Done<Nothing> done) {
  thread_.submit_outside<bool>(
      [copy_under_way, path](db::Connection& db) -> Result<bool> {
        if (!*copy_under_way) {
          auto begun = db.copy_to(path);
          if (!begun) return fail(begun.error());
          *copy_under_way = std::move(*begun);
        }
        auto whole = (*copy_under_way)->step();
        if (!whole || *whole) copy_under_way->reset();
        return whole;
      },
      [this, copy_under_way, path, done = std::move(done)](Result<bool> whole) mutable {
        if (whole && !*whole) {
          copy(std::move(copy_under_way), std::move(path), std::move(done));
          return;
        }
        auto outcome = whole.map([](bool) { return Nothing{}; });
        if (done.applied) done.applied(outcome);
        if (done.durable) done.durable(std::move(outcome));
      });
}

void SqlStore::ping(Done<Nothing> done) {
  const bool touch = trouble() || clock_.mono() - last_touch_ >= kTouchEvery;
  if (touch) last_touch_ = clock_.mono();
  submit<Nothing>(
      [touch](db::Connection& db) -> Result<Nothing> {
        if (touch) db.touch();
        return Nothing{};
      },
      std::move(done));
}

Result<std::unique_ptr<Store>> open_store_on(loop::Loop& loop, const Clock& clock,
                                             std::unique_ptr<db::Connection> connection, std::int64_t bot_id,
                                             const std::string& copy_path,
                                             const std::function<void()>& progress) {
  if (auto migrated = db::migrate(*connection, schema(), copy_path, progress); !migrated)
    return fail(migrated.error());
  const sql::Highest highest = sql::highest(*connection);
  if (connection->error()) return fail(*connection->error());
  return std::make_unique<SqlStore>(loop, clock, std::move(connection), bot_id, highest, copy_path);
}

Result<std::unique_ptr<Store>> open_store(loop::Loop& loop, const Clock& clock, const std::string& url,
                                          std::int64_t bot_id, const std::function<void()>& progress) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (url.starts_with("postgresql://") || url.starts_with("postgres://")) {
    return fail(Code::Rejected, "KATANA_STORE: this build has only SQLite: write sqlite:PATH");
  }
  if (!url.starts_with(kSqlite) || url.size() == kSqlite.size()) {
    return fail(Code::Rejected, "KATANA_STORE: write sqlite:PATH");
  }
  const std::string path = url.substr(kSqlite.size());
  auto connection = db::open_sqlite(path);
  if (!connection) return fail(with_context(connection.error(), "opening the store"));
  auto store = open_store_on(loop, clock, std::move(*connection), bot_id, path, progress);
  if (!store) return fail(with_context(store.error(), "opening the store"));
  return store;
}

}  // namespace katana::gateway
