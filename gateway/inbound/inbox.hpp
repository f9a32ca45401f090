#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "gateway/chat/chat.hpp"
#include "gateway/inbound/update.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// A question that the store has taken.
struct Opened {
  OpenedTurn turn;
  ChatKey chat;
  std::int64_t user_id = 0;
  std::int64_t question_id = 0;
  bool group = false;
};

/// What an accepted batch sets off, in the order of the updates.
struct InboxEvents {
  std::function<void(const Opened&)> on_applied;  ///< may be dispatched; nothing may be shown yet
  std::function<void(const Opened&)> on_durable;  ///< may be shown
  std::function<void(const Opened&)> on_lost;     ///< its commit failed: as if never asked
  std::function<void(ChatKey, std::int64_t outbox_id, Reply)> on_reply;  ///< durable
  std::function<void(const std::string& press_id, const std::string& text)> on_press;
  std::function<void(std::int64_t id)> on_again;  ///< a message of uncertain fate is to be sent again
  std::function<void(ChatKey)> on_stop;           ///< the answer under way there is to end
  std::function<void(std::int64_t chat_id)> on_chat_gone;
  std::function<void(std::int64_t from, std::int64_t to)> on_chat_moved;  ///< durable
  std::function<void(const std::string& why)> on_ignored;  ///< for metrics: why an update came to nothing
  std::function<void()> on_duplicate;
  std::function<void(OpenTurn)> on_released;  ///< a held question that is to be answered now
  std::function<std::size_t()> room;          ///< how many more questions may wait
};

/// Takes batches of updates from poller or webhook: decides each by the rules of the chat, and has them
/// committed, a slice at a time. Loop thread only; one batch at a time.
class Inbox {
 public:
  Inbox(const Chat& chat, Store& store, const Clock& clock, config::LogMessages log_messages,
        InboxEvents events);

  /// `then` gets success once the batch is durable: only then may it be confirmed to Telegram.
  void accept(std::vector<Update> updates, std::function<void(Result<void>)> then);

 private:
  struct Batch;
  struct Slice;
  void gather_choices(const std::shared_ptr<Batch>& batch, std::size_t from);
  std::shared_ptr<Slice> decide(const Batch& batch, std::size_t from, std::size_t to);
  void commit(const std::shared_ptr<Slice>& slice, const std::shared_ptr<Batch>& batch);
  void dispatch(Slice& slice, const std::vector<Accepted>& accepted);
  void applied(Slice& slice, const Result<std::vector<Accepted>>& accepted);
  void durable(Slice& slice, const Result<std::vector<Accepted>>& accepted);
  void finish_one(const Decision& decision, const Accepted& accepted);
  void log_incoming(const Update& update, const Decision& decision) const;

  const Chat& chat_;
  Store& store_;
  const Clock& clock_;
  config::LogMessages log_messages_;
  InboxEvents events_;
  /// While commits fail, questions wait for `durable` before they are dispatched.
  bool last_commit_failed_ = false;
  std::size_t undispatched_ = 0;  ///< questions that were let in and that `room` doesn't know of yet
};

}  // namespace katana::gateway
