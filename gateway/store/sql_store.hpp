#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/core/clock.hpp"
#include "common/db/connection.hpp"
#include "common/db/database_thread.hpp"
#include "common/loop/loop.hpp"
#include "gateway/store/sql.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// The store in a SQL database: hands each operation to the database thread, which runs its SQL (sql.hpp).
/// Owned by the gateway's wiring; loop thread only. Its destruction commits what was asked for and drops the
/// completions.
class SqlStore final : public Store {
 public:
  /// On a database that has the schema. `highest` are the ids in use; beside `path` stand copies of it
  /// (empty: none do).
  SqlStore(loop::Loop& loop, const Clock& clock, std::unique_ptr<db::Connection> connection,
           std::int64_t bot_id, sql::Highest highest, std::string path);

  void accept(std::vector<Intake> batch, Done<std::vector<Accepted>> done) override;
  void lease(bus::JobRef job, std::string worker_id, std::string provider, std::string model, int deaths,
             Done<LeasedJob> done) override;
  void requeue(bus::JobRef job, AttemptEnd end, Done<bus::JobRef> done) override;
  void settle(Settlement settlement, Done<Settled> done) override;
  void add_part(std::int64_t turn_id, int part, Done<AnswerPart> done) override;
  void part_sent(std::int64_t outbox_id, std::int64_t message_id, Done<Nothing> done) override;
  void answer_delivered(std::int64_t turn_id, std::string abandoned, Done<Nothing> done) override;
  void reply_attempting(std::int64_t outbox_id, Done<Nothing> done) override;
  void reply_done(std::int64_t outbox_id, std::int64_t message_id, std::string abandoned,
                  Done<Nothing> done) override;
  void add_reply(ChatKey chat, Reply reply, Done<std::int64_t> done) override;
  void pause(std::int64_t chat_id, Millis length, Done<Nothing> done) override;
  void migrate_chat(std::int64_t from, std::int64_t to, Done<Nothing> done) override;
  void unfinished(Done<Unfinished> done) override;
  void members(Done<std::vector<Member>> done) override;
  void choice(ChatKey chat, Done<ChatChoice> done) override;
  void put_member(Member member, Done<Nothing> done) override;
  void trace(std::string id, Done<std::optional<Trace>> done) override;
  void dead_letters(Done<std::vector<DeadLetter>> done) override;
  void retry_dead_letter(std::int64_t turn_id, Done<OpenTurn> done) override;
  void drop_dead_letter(std::int64_t turn_id, Done<Nothing> done) override;
  void prune(Wall now, Seconds retention, Done<std::uint64_t> done) override;
  void usage(Wall since, std::optional<std::int64_t> user_id, Done<UsageSum> done) override;
  void forget(std::int64_t user_id, Done<std::uint64_t> done) override;
  void backup(std::string path, Done<Nothing> done) override;
  void ping(Done<Nothing> done) override;
  std::optional<Error> trouble() const override { return thread_.trouble(); }

 private:
  /// One step of a sweep; pure, because a group that fails runs it again.
  using Step = std::function<sql::Sweep(db::Connection&, sql::Sweep)>;
  void sweep(Step step, sql::Sweep from, Done<std::uint64_t> done);
  void copy(std::shared_ptr<std::unique_ptr<db::Copy>> copy_under_way, std::string path, Done<Nothing> done);
  template <class T, class Work>
  void submit(Work work, Done<T> done) {
    thread_.submit<T>(std::move(work), std::move(done.applied), std::move(done.durable));
  }

  const Clock& clock_;
  const std::int64_t bot_id_;
  const std::string path_;
  std::int64_t last_turn_;
  std::int64_t last_reply_;
  Mono last_touch_;
  sql::Histories histories_;  // the database thread's
  db::DatabaseThread thread_;
};

/// Opens the store at `url` (`sqlite:PATH`), creating it or bringing it to the newest schema; a copy is kept
/// before a migration. Blocks: for the start, before the loop serves; a migration may take minutes, and calls
/// `progress` again and again meanwhile. The error says what to do, and never shows the url.
Result<std::unique_ptr<Store>> open_store(loop::Loop& loop, const Clock& clock, const std::string& url,
                                          std::int64_t bot_id, const std::function<void()>& progress = {});
/// The same on a connection that is open; `copy_path` is where the copies are.
Result<std::unique_ptr<Store>> open_store_on(loop::Loop& loop, const Clock& clock,
                                             std::unique_ptr<db::Connection> connection, std::int64_t bot_id,
                                             const std::string& copy_path,
                                             const std::function<void()>& progress = {});

}  // namespace katana::gateway
