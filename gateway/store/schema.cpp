#include "gateway/store/schema.hpp"

#include <array>

namespace katana::gateway {
namespace {

// Times are Unix milliseconds, hours are Unix hours. 0 and '' stand for nothing; there are no NULLs.
//
// A turn lives in two rows. `open_turns` has it while anything is left to do: a small table of short rows,
// which the lease, the sent parts and the end all write to. `turns` gets it once, whole, when it is settled,
// at the right edge of the table, and doesn't change again. So a turn that has a row in `turns` is settled,
// and one without a row in `open_turns` is done.
//
// `turns.previous` chains the answered turns of a conversation since its last start-over, newest first, from
// `conversations.last_turn`. An index by conversation would have to be written to at a random place for every
// message.
constexpr const char* kFirst = R"sql(
CREATE TABLE updates (
  bot_id INTEGER NOT NULL,
  update_id INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (bot_id, update_id)
) WITHOUT ROWID;

CREATE TABLE conversations (
  conversation_id INTEGER PRIMARY KEY,
  bot_id INTEGER NOT NULL,
  chat_id INTEGER NOT NULL,
  thread_id INTEGER NOT NULL,
  chapter INTEGER NOT NULL DEFAULT 0,    -- counts the start-overs
  last_turn INTEGER NOT NULL DEFAULT 0,  -- newest answered turn of this chapter
  provider TEXT NOT NULL DEFAULT '',
  model TEXT NOT NULL DEFAULT '',
  UNIQUE (bot_id, chat_id, thread_id)
);

-- The model chosen last for each provider of a conversation, for when it comes back to that provider.
CREATE TABLE chosen_models (
  bot_id INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  PRIMARY KEY (conversation_id, provider)
) WITHOUT ROWID;

CREATE TABLE open_turns (
  turn_id INTEGER PRIMARY KEY,
  bot_id INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  chapter INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  question_id INTEGER NOT NULL,
  is_group INTEGER NOT NULL,
  asked_at INTEGER NOT NULL,
  job_key TEXT NOT NULL,                 -- the random half of the job id
  attempt INTEGER NOT NULL,
  leased INTEGER NOT NULL,
  deaths INTEGER NOT NULL,
  provider TEXT NOT NULL,                -- chosen when it was asked
  model TEXT NOT NULL,
  worker_id TEXT NOT NULL,               -- of the lease, as are the next three
  lease_provider TEXT NOT NULL,
  lease_model TEXT NOT NULL,
  leased_at INTEGER NOT NULL,
  message_ids TEXT NOT NULL,             -- of the answer's parts, in their order; 0: not known
  question TEXT NOT NULL
);

CREATE TABLE turns (
  turn_id INTEGER PRIMARY KEY,
  bot_id INTEGER NOT NULL,
  chat_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  asked_at INTEGER NOT NULL,
  settled_at INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  error_code TEXT NOT NULL,
  request_id TEXT NOT NULL,
  abandoned TEXT NOT NULL DEFAULT '',    -- why its answer couldn't be shown
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  question TEXT NOT NULL,
  answer TEXT NOT NULL
);

CREATE TABLE replies (
  reply_id INTEGER PRIMARY KEY,
  bot_id INTEGER NOT NULL,
  chat_id INTEGER NOT NULL,
  thread_id INTEGER NOT NULL,
  attempted INTEGER NOT NULL,
  reply_to INTEGER NOT NULL,
  layout TEXT NOT NULL,                  -- entities and keyboard
  text TEXT NOT NULL
);

CREATE TABLE usage (
  bot_id INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  calls INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  PRIMARY KEY (bot_id, hour, user_id, provider, model)
) WITHOUT ROWID;

CREATE TABLE members (
  bot_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  standing INTEGER NOT NULL,
  pairing_code TEXT NOT NULL,
  last_reply INTEGER NOT NULL,
  PRIMARY KEY (bot_id, user_id)
) WITHOUT ROWID;
)sql";

// The rest of the ledger. `turns.delivered_at` is `settled_at` until the answer is shown, and `message_ids`
// what is known of them by then, so that the later write mostly fits into the row's place.
constexpr const char* kLedger = R"sql(
ALTER TABLE open_turns ADD COLUMN held INTEGER NOT NULL DEFAULT 0;  -- came late: waits for its asker's word

ALTER TABLE turns ADD COLUMN worker_id TEXT NOT NULL DEFAULT '';    -- of the last attempt, as is the next
ALTER TABLE turns ADD COLUMN leased_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN first_text_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN delivered_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN message_ids TEXT NOT NULL DEFAULT '';  -- at Telegram, of the answer's parts
ALTER TABLE turns ADD COLUMN asked_again INTEGER NOT NULL DEFAULT 0;  -- the turn that a dead letter became

-- Attempts before a turn's last one, and how each ended.
CREATE TABLE attempts (
  turn_id INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  bot_id INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  leased_at INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  first_text_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  ending TEXT NOT NULL,
  request_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  PRIMARY KEY (turn_id, attempt)
) WITHOUT ROWID;

-- Questions that nobody may be given again without an operator's word. Their turns are settled.
CREATE TABLE dead_letters (
  turn_id INTEGER PRIMARY KEY,
  bot_id INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  question_id INTEGER NOT NULL,
  is_group INTEGER NOT NULL,
  asked_at INTEGER NOT NULL,
  died_at INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  job_key TEXT NOT NULL,
  question TEXT NOT NULL
);

-- What Telegram's 429s asked for; chat 0 is the bot itself. The length counts, not the hour: clocks jump.
CREATE TABLE pauses (
  bot_id INTEGER NOT NULL,
  chat_id INTEGER NOT NULL,
  set_at INTEGER NOT NULL,
  length_ms INTEGER NOT NULL,
  PRIMARY KEY (bot_id, chat_id)
) WITHOUT ROWID;
)sql";

constexpr std::array kSteps{db::Migration{1, kFirst}, db::Migration{2, kLedger}};

}  // namespace

std::span<const db::Migration> schema() {
  return kSteps;
}

}  // namespace katana::gateway
