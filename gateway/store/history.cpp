#include "gateway/store/history.hpp"

namespace katana::gateway::sql {
namespace {

/// What an entry takes beside its text, roughly.
constexpr std::size_t kEntryBytes = 160;
constexpr std::size_t kExchangeBytes = 64;

}  // namespace

/// Follows the chain back from `last_turn`. A turn that was blanked is left out; one that isn't there was
/// pruned, and so were all before it.
Histories::Entry Histories::read(db::Connection& db, std::int64_t last_turn) {
  Entry entry{last_turn, 0, {}};
  std::int64_t next = last_turn;
  while (next != 0 && entry.exchanges.size() < kHistoryTurns) {
    auto rows = db.query("SELECT previous, question, answer FROM turns WHERE turn_id = $1", next);
    if (!rows.next()) break;
    next = rows.integer(0);
    if (rows.view(1).empty() || rows.view(2).empty()) continue;
    if (entry.bytes + rows.view(1).size() + rows.view(2).size() > kHistoryBytes) break;
    entry.exchanges.push_front({rows.text(1), rows.text(2)});
    entry.bytes += entry.exchanges.front().bytes();
  }
  return entry;
}

std::vector<bus::Turn> Histories::tell(db::Connection& db, std::int64_t conversation_id,
                                       std::int64_t last_turn) {
  auto found = entries_.find(conversation_id);
  if (found == entries_.end() || found->second.last_turn != last_turn) {
    Entry entry = read(db, last_turn);
    count(kEntryBytes + entry.bytes + entry.exchanges.size() * kExchangeBytes);
    found = entries_.insert_or_assign(conversation_id, std::move(entry)).first;
  }
  std::vector<bus::Turn> out;
  out.reserve(found->second.exchanges.size() * 2 + 1);
  for (const Exchange& exchange : found->second.exchanges) {
    out.push_back({bus::Speaker::User, exchange.question});
    out.push_back({bus::Speaker::Assistant, exchange.answer});
  }
  return out;
}

void Histories::append(std::int64_t conversation_id, std::int64_t previous, std::int64_t turn_id,
                       const std::string& question, const std::string& answer) {
  const auto found = entries_.find(conversation_id);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  // It ends elsewhere, such as at a turn whose transaction was rolled back.
  if (entry.last_turn != previous) {
    entries_.erase(found);
    return;
  }
  entry.last_turn = turn_id;
  if (question.empty() || answer.empty()) return;
  entry.exchanges.push_back({question, answer});
  entry.bytes += entry.exchanges.back().bytes();
  std::size_t let_go = 0;
  while (!entry.exchanges.empty() &&
         (entry.exchanges.size() > kHistoryTurns || entry.bytes > kHistoryBytes)) {
    let_go += entry.exchanges.front().bytes() + kExchangeBytes;
    entry.bytes -= entry.exchanges.front().bytes();
    entry.exchanges.pop_front();
  }
  const std::size_t added = question.size() + answer.size() + kExchangeBytes;
  if (added > let_go) count(added - let_go);
}

void Histories::clear() {
  entries_.clear();
  bytes_ = 0;
}

/// Too much is the end of all of it: reading it anew costs no more than having no cache.
void Histories::count(std::size_t bytes) {
  if (bytes_ + bytes > kHistoryCache) clear();
  bytes_ += bytes;
}

}  // namespace katana::gateway::sql
