#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/telegram/bot_api.hpp"

namespace katana::gateway {

/// A conversation, together with the bot that the store was opened for.
struct ChatKey {
  std::int64_t chat_id = 0;
  std::int64_t thread_id = 0;
  // clang-tidy 14 sees a literal zero in what the compiler writes for it.
  friend auto operator<=>(const ChatKey&, const ChatKey&) = default;  // NOLINT(modernize-use-nullptr)
};

/// The two moments of an operation, in this order, both on the loop. `applied`: done in the open transaction,
/// may still be lost with it. `durable`: committed (or failed: then the operation has no effect, even if
/// `applied` came with a success, and without what `applied` took out of the outcome). Either may be empty.
/// Nothing that anyone outside can see may happen before `durable`.
template <class T>
struct Done {
  std::function<void(Result<T>&)> applied{};
  std::function<void(Result<T>)> durable{};
};
struct Nothing {};

// ---- what comes in ----

/// A question to a model. Its turn, its job (queued, attempt 1) and the row of its placeholder are born
/// together.
struct Prompt {
  std::int64_t user_id = 0;
  std::int64_t message_id = 0;  ///< the question's
  std::string text;
  bool group = false;
  Wall asked_at{};
  bool held = false;  ///< it came late: its turn is opened, and waits for its asker's word
};

/// A message of the bot's own that isn't an answer: a command's reply, a pairing code, a note.
struct Reply {
  std::int64_t reply_to = 0;
  std::string text;
  std::vector<telegram::Entity> entities{};
  telegram::Keyboard keyboard{};
};

/// What a command changes in its conversation. Unset: stays.
struct ChatChange {
  std::optional<std::string> provider{};
  std::optional<std::string> model{};  ///< of the provider in force after this change; empty: its default
  bool start_over = false;             ///< /new: earlier turns are no longer told to the model
};

/// One update as the chat room decided it. With nothing but the id it is only remembered as seen.
struct Intake {
  std::int64_t update_id = 0;
  std::int64_t follows = 0;  ///< of the first in a batch: the update that must be stored already; 0: none
  Wall seen_at{};
  ChatKey chat{};
  std::optional<ChatChange> change{};
  std::optional<Prompt> prompt{};
  std::vector<Reply> replies{};
  std::optional<Reply> held_note{};  ///< of a held prompt: written unless one stands already
  bool release_held = false;         ///< the held turns of this conversation are to be answered now
  std::int64_t moved_from = 0;       ///< this chat had another id before: every row follows
};

/// The conversation's standing choice of provider and model; empty: the defaults.
struct ChatChoice {
  std::string provider;
  std::string model;
};

struct OpenedTurn {
  std::int64_t turn_id = 0;
  std::string job_id;
  std::int64_t placeholder_id = 0;  ///< outbox row of part 1
  ChatChoice choice;                ///< at the time of asking
};

// ---- jobs ----

/// How far an attempt came. Epoch: it didn't, or a gateway before this one heard of it.
struct AttemptSteps {
  Wall accepted_at{};    ///< its worker said that it is there
  Wall first_text_at{};  ///< the first of the answer's text came from the worker
};

/// How an attempt ended that brought no result.
struct AttemptEnd {
  std::string ending;        ///< why, in a few words without a user's text
  std::string request_id{};  ///< the provider's, if it came that far
  int deaths = 0;            ///< workers that died under this job by now
  bus::Usage usage{};        ///< as far as it is known; a call that was lost tells nothing
  AttemptSteps steps{};
};

/// What a lease returns: all that the worker must be told.
struct LeasedJob {
  bus::JobRef job;
  std::vector<bus::Turn>
      turns;  ///< earlier turns of the conversation since its last start-over, then the question
};

/// A result to be applied by compare-and-set on (job_id, attempt).
struct Settlement {
  bus::JobRef job;
  std::string provider;
  std::string model;
  std::string text;      ///< what the user gets: the answer, or the words about a failure
  bool answered = true;  ///< false: a failure; the turn stays out of the history
  bool dead = false;     ///< a failure whose question goes to the dead letters
  std::string error_code{};
  bus::Usage usage{};
  std::string request_id{};
  AttemptSteps steps{};
};
enum class Settled { Applied, Stale };

// ---- outbox ----

/// A part of an answer as a message at Telegram: part 1 is the placeholder that the turn was born with.
struct AnswerPart {
  std::int64_t outbox_id = 0;
  int part = 1;
  std::int64_t message_id = 0;  ///< 0: not sent, or nobody knows (then the placeholder is sent again)
};

/// A turn that isn't done, as found at start.
struct OpenTurn {
  std::int64_t turn_id = 0;
  ChatKey chat{};
  std::int64_t user_id = 0;
  std::int64_t question_id = 0;  ///< message_id of the question
  bool group = false;
  Wall asked_at{};
  bus::JobRef job;        ///< the attempt that is queued or leased
  bool leased = false;    ///< may be running at a living worker
  std::string worker_id;  ///< who had the lease
  int deaths = 0;         ///< workers that died while they held it
  ChatChoice choice;
  bool settled = false;  ///< `answer` is final; only showing it is left
  std::string answer;
  std::vector<AnswerPart> parts;
};

/// A reply that isn't delivered. `attempted`: a send was begun and its end is unknown.
struct OpenReply {
  std::int64_t outbox_id = 0;
  ChatKey chat{};
  Reply reply;
  bool attempted = false;
};

/// What is left of a wait that a 429 asked for; chat 0: the whole bot's.
struct Pause {
  std::int64_t chat_id = 0;
  Millis left{0};
};

struct Unfinished {
  std::vector<OpenTurn> turns;  ///< oldest first; without those that are held
  std::vector<OpenReply> replies;
  std::vector<Pause> pauses;
};

// ---- what came in, as it was taken ----

struct Accepted {
  bool duplicate = false;  ///< this update was accepted before: nothing was done
  std::optional<OpenedTurn> turn{};
  std::vector<std::int64_t> reply_ids{};  ///< outbox rows, in the order of Intake::replies
  std::int64_t held_note_id = 0;          ///< outbox row of Intake::held_note, if it was written
  std::vector<OpenTurn> released{};       ///< by Intake::release_held, oldest first
};

// ---- the operator's view ----

/// A question that two workers died under. Its user was told; it is asked again on an operator's word alone.
struct DeadLetter {
  std::int64_t turn_id = 0;
  std::string job_id;
  ChatKey chat{};
  std::int64_t user_id = 0;
  Wall asked_at{};
  Wall died_at{};
  std::string provider;
  std::string model;
};

struct TracedAttempt {
  std::uint32_t attempt = 0;
  std::string provider;
  std::string model;
  std::string worker_id;
  Wall leased_at{};
  AttemptSteps steps{};  ///< of one that ended
  Wall ended_at{};       ///< epoch: it hasn't
  std::string ending;    ///< empty: it runs, or it brought the result
  std::string request_id;
  bus::Usage usage{};  ///< of one that ended; the last one's is the trace's
};

/// All that is known of one question, and no word of it.
struct Trace {
  enum class State { Held, Queued, Leased, Settled, Delivered, Abandoned };
  std::int64_t turn_id = 0;
  ChatKey chat{};  ///< without its thread once it is delivered
  std::int64_t user_id = 0;
  State state = State::Queued;
  bool dead = false;                ///< among the dead letters now
  std::int64_t asked_again_as = 0;  ///< the turn that a dead letter became; 0: none
  Wall asked_at{};
  Wall settled_at{};
  Wall delivered_at{};
  bool answered = false;
  std::string error_code;
  std::string abandoned;
  std::vector<std::int64_t> message_ids;  ///< at Telegram, of the answer's parts; 0: not known
  std::vector<TracedAttempt> attempts;    ///< oldest first
  bus::Usage usage;                       ///< of the last attempt
};

// ---- usage ----

/// What was used of one model in one hour (UTC). A call whose worker was lost counts, with no tokens.
struct UsageLine {
  Wall hour{};
  std::string provider;
  std::string model;
  std::uint64_t calls = 0;
  std::uint64_t lost = 0;  ///< of `calls`: started, and nobody knows what was billed
  bus::Usage tokens{};
};
struct UsageSum {
  std::uint64_t calls = 0;
  bus::Usage tokens{};
  std::vector<UsageLine> lines;  ///< oldest first
};

// ---- access ----

enum class Standing { Stranger, Allowed, Admin, Denied };
struct Member {
  std::int64_t user_id = 0;
  Standing standing = Standing::Stranger;
  std::string pairing_code{};  ///< of a stranger who wrote
  Wall last_reply{};           ///< when a stranger was answered last (one reply an hour)
};

/// The gateway's store, in the domain's words: whole transactions, each with its two completions. One
/// database thread takes all waiting operations and commits them together. Owned by the gateway's wiring;
/// loop thread only. What the domain refuses is a value (Settled::Stale, Accepted::duplicate); an Error means
/// that the store itself failed.
class Store {
 public:
  virtual ~Store() = default;

  // inbound
  /// All of the batch, or nothing of it: also when what it `follows` isn't stored, so that no update
  /// overtakes one whose own commit failed.
  virtual void accept(std::vector<Intake> batch, Done<std::vector<Accepted>> done) = 0;

  // dispatch
  /// queued -> leased. Rejected when (job_id, attempt) isn't queued or leased. The start is booked with it. A
  /// lease repeated for the same worker is fine; for another one `requeue` comes first. `deaths`: as they
  /// count now, since a worker that was given up may have come back.
  virtual void lease(bus::JobRef job, std::string worker_id, std::string provider, std::string model,
                     int deaths, Done<LeasedJob> done) = 0;
  /// leased -> queued with attempt + 1: its worker is gone, or another provider is asked. The new attempt.
  virtual void requeue(bus::JobRef job, AttemptEnd end, Done<bus::JobRef> done) = 0;
  virtual void settle(Settlement settlement, Done<Settled> done) = 0;

  // outbound
  /// A further message of an answer; its row is born before its placeholder is sent.
  virtual void add_part(std::int64_t turn_id, int part, Done<AnswerPart> done) = 0;
  virtual void part_sent(std::int64_t outbox_id, std::int64_t message_id, Done<Nothing> done) = 0;
  /// All parts of a settled answer show their final text (or can't ever: `abandoned` says why).
  virtual void answer_delivered(std::int64_t turn_id, std::string abandoned, Done<Nothing> done) = 0;
  virtual void reply_attempting(std::int64_t outbox_id, Done<Nothing> done) = 0;
  virtual void reply_done(std::int64_t outbox_id, std::int64_t message_id, std::string abandoned,
                          Done<Nothing> done) = 0;
  /// A note on the operator's or the gateway's own account (not an answer to an update).
  virtual void add_reply(ChatKey chat, Reply reply, Done<std::int64_t> done) = 0;
  /// A 429 asks for this wait from now on, in the place of what it asked for before; chat 0: the whole bot.
  virtual void pause(std::int64_t chat_id, Millis length, Done<Nothing> done) = 0;
  /// The group got a new id: every row follows.
  virtual void migrate_chat(std::int64_t from, std::int64_t to, Done<Nothing> done) = 0;

  // start
  virtual void unfinished(Done<Unfinished> done) = 0;
  virtual void members(Done<std::vector<Member>> done) = 0;
  virtual void choice(ChatKey chat, Done<ChatChoice> done) = 0;

  // access
  virtual void put_member(Member member, Done<Nothing> done) = 0;

  // the operator
  /// By job id or turn id; nothing: it is not known (any more).
  virtual void trace(std::string id, Done<std::optional<Trace>> done) = 0;
  virtual void dead_letters(Done<std::vector<DeadLetter>> done) = 0;
  /// The letter's question becomes a new turn at the end of its conversation. Rejected: no such letter.
  virtual void retry_dead_letter(std::int64_t turn_id, Done<OpenTurn> done) = 0;
  /// Rejected: no such letter.
  virtual void drop_dead_letter(std::int64_t turn_id, Done<Nothing> done) = 0;

  // housekeeping
  /// Deletes conversations older than `retention`, copies of the store that are, and update ids older than
  /// 48 h; returns rows and copies deleted. Small steps.
  virtual void prune(Wall now, Seconds retention, Done<std::uint64_t> done) = 0;
  /// What was used since the hour that holds `since`, by everybody or by one user.
  virtual void usage(Wall since, std::optional<std::int64_t> user_id, Done<UsageSum> done) = 0;
  /// Blanks everything that a user wrote and got, and forgets the user; sums of usage stay, under no name.
  /// Small steps.
  virtual void forget(std::int64_t user_id, Done<std::uint64_t> done) = 0;
  /// A copy of the running store in a new file (0600). Small steps; work goes on in between.
  virtual void backup(std::string path, Done<Nothing> done) = 0;
  /// Answers when the database thread does: /health asks. Writes, too, when there is trouble, and now and
  /// then without: what can be read can't always be written.
  virtual void ping(Done<Nothing> done) = 0;
  /// Why nothing can be stored now, and the mend; unset: all is well, as far as is known.
  [[nodiscard]] virtual std::optional<Error> trouble() const { return {}; }
};

}  // namespace katana::gateway
