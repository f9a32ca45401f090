#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/bus/message.hpp"
#include "common/db/connection.hpp"

namespace katana::gateway::sql {

/// Earlier turns told to the model: at most this many, and at most this many bytes of text.
inline constexpr int kHistoryTurns = 50;
inline constexpr std::size_t kHistoryBytes = 64 << 10;
/// Text of conversations that is kept in memory.
inline constexpr std::size_t kHistoryCache = 8 << 20;

/// What conversations said last, so that a busy one isn't read from the database again with every question.
/// An entry counts only when it ends at the turn at which the conversation ends in the database, and turns
/// don't change; the few operations that do change them (prune, forget, a moved group) clear it. So a
/// transaction that is rolled back needs no word to it. Database thread only.
class Histories {
 public:
  /// The conversation's newest turns up to `last_turn`, oldest first, as the model is told them.
  std::vector<bus::Turn> tell(db::Connection& db, std::int64_t conversation_id, std::int64_t last_turn);
  /// A turn was settled, and stands behind `previous`.
  void append(std::int64_t conversation_id, std::int64_t previous, std::int64_t turn_id,
              const std::string& question, const std::string& answer);
  void clear();

 private:
  struct Exchange {
    std::string question;
    std::string answer;
    [[nodiscard]] std::size_t bytes() const { return question.size() + answer.size(); }
  };
  struct Entry {
    std::int64_t last_turn = 0;
    std::size_t bytes = 0;
    std::deque<Exchange> exchanges;  // oldest first
  };
  static Entry read(db::Connection& db, std::int64_t last_turn);
  void count(std::size_t bytes);

  std::unordered_map<std::int64_t, Entry> entries_;
  std::size_t bytes_ = 0;  // since the last clearing: entries that shrank or went are not taken off
};

}  // namespace katana::gateway::sql
