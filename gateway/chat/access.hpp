#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// Who may talk to the bot. Closed to strangers by default: a stranger gets a pairing code, at most one reply
/// an hour, and the operator admits them by `katana allow CODE`. Pure: what changed comes back as a Member to
/// be stored.
class Access {
 public:
  Access(config::Access mode, const std::vector<std::int64_t>& allowed,
         const std::vector<std::int64_t>& admins);

  /// What the store remembered.
  void restore(std::vector<Member> members);

  [[nodiscard]] bool admitted(std::int64_t user_id) const;
  [[nodiscard]] bool admin(std::int64_t user_id) const;

  /// A stranger wrote in a private chat: what to answer (nothing: stay silent), and the member to store.
  struct Knock {
    std::string answer;
    Member member;
  };
  std::optional<Knock> knock(std::int64_t user_id, Wall now);
  /// The answer to that knock could not be given: the next one is answered.
  void unanswered(std::int64_t user_id) { at(user_id).last_reply = {}; }

  struct Allowed {
    Member member;
    bool first_admin = false;  ///< made admin because there was none
  };
  /// `who` is a pairing code or a user id. Refused before `restore`: nobody knows yet who is admin.
  Result<Allowed> allow(std::string_view who, bool as_admin);
  Result<Member> deny(std::string_view who);

  [[nodiscard]] std::vector<Member> members() const;
  [[nodiscard]] bool has_admin() const;

 private:
  Member& at(std::int64_t user_id);
  void forget_strangers(Wall before);
  std::optional<std::int64_t> resolve(std::string_view who) const;

  config::Access mode_;
  std::unordered_map<std::int64_t, Member> members_;
  std::size_t strangers_ = 0;
  bool restored_ = false;
};

}  // namespace katana::gateway
