#pragma once

#include "gateway/store/store.hpp"

namespace katana::gateway {

/// A store that does nothing and never answers: what a room's stand-in builds on, with the operations that
/// the room uses.
class StoreStub : public Store {
 public:
  void accept(std::vector<Intake>, Done<std::vector<Accepted>>) override {}
  void lease(bus::JobRef, std::string, std::string, std::string, int, Done<LeasedJob>) override {}
  void requeue(bus::JobRef, AttemptEnd, Done<bus::JobRef>) override {}
  void settle(Settlement, Done<Settled>) override {}
  void add_part(std::int64_t, int, Done<AnswerPart>) override {}
  void part_sent(std::int64_t, std::int64_t, Done<Nothing>) override {}
  void answer_delivered(std::int64_t, std::string, Done<Nothing>) override {}
  void reply_attempting(std::int64_t, Done<Nothing>) override {}
  void reply_done(std::int64_t, std::int64_t, std::string, Done<Nothing>) override {}
  void add_reply(ChatKey, Reply, Done<std::int64_t>) override {}
  void pause(std::int64_t, Millis, Done<Nothing>) override {}
  void migrate_chat(std::int64_t, std::int64_t, Done<Nothing>) override {}
  void unfinished(Done<Unfinished>) override {}
  void members(Done<std::vector<Member>>) override {}
  void choice(ChatKey, Done<ChatChoice>) override {}
  void put_member(Member, Done<Nothing>) override {}
  void trace(std::string, Done<std::optional<Trace>>) override {}
  void dead_letters(Done<std::vector<DeadLetter>>) override {}
  void retry_dead_letter(std::int64_t, Done<OpenTurn>) override {}
  void drop_dead_letter(std::int64_t, Done<Nothing>) override {}
  void prune(Wall, Seconds, Done<std::uint64_t>) override {}
  void usage(Wall, std::optional<std::int64_t>, Done<UsageSum>) override {}
  void forget(std::int64_t, Done<std::uint64_t>) override {}
  void backup(std::string, Done<Nothing>) override {}
  void ping(Done<Nothing>) override {}
};

}  // namespace katana::gateway
