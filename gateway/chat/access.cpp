#include "gateway/chat/access.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "common/core/id.hpp"
#include "gateway/chat/phrases.hpp"

namespace katana::gateway {
namespace {

constexpr Seconds kReplyEvery{3600};
/// Strangers that are remembered with a code. Beyond it newcomers get no answer, so that nobody can fill the
/// store.
constexpr std::size_t kMaxStrangers = 10'000;
/// When there are as many: those who didn't write for this long make room.
constexpr Seconds kStrangerKept{30 * 24 * 3600};
constexpr std::size_t kCodeLength = 8;
constexpr std::string_view kStarting = "the gateway is starting; try again in a moment";

}  // namespace

Access::Access(config::Access mode, const std::vector<std::int64_t>& allowed,
               const std::vector<std::int64_t>& admins)
    : mode_(mode) {
  for (const auto id : allowed)
    at(id).standing = Standing::Allowed;
  for (const auto id : admins)
    at(id).standing = Standing::Admin;
}

Member& Access::at(std::int64_t user_id) {
  Member& m = members_[user_id];
  m.user_id = user_id;
  return m;
}

void Access::restore(std::vector<Member> members) {
  restored_ = true;
  for (auto& stored : members) {
    Member& m = at(stored.user_id);
    // The settings' list stands above the store: who is named there stays in.
    if (m.standing == Standing::Admin ||
        (m.standing == Standing::Allowed && stored.standing != Standing::Admin))
      continue;
    if (stored.standing == Standing::Stranger) ++strangers_;
    m = std::move(stored);
  }
}

bool Access::admitted(std::int64_t user_id) const {
  const auto it = members_.find(user_id);
  const Standing standing = it == members_.end() ? Standing::Stranger : it->second.standing;
  if (standing == Standing::Denied) return false;
  return mode_ == config::Access::Open || standing != Standing::Stranger;
}

bool Access::admin(std::int64_t user_id) const {
  const auto it = members_.find(user_id);
  return it != members_.end() && it->second.standing == Standing::Admin;
}

bool Access::has_admin() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const auto& m) { return m.second.standing == Standing::Admin; });
}

/// The store forgets them by its own retention.
void Access::forget_strangers(Wall before) {
  strangers_ -= std::erase_if(members_, [before](const auto& m) {
    return m.second.standing == Standing::Stranger && m.second.last_reply < before;
  });
}

std::optional<Access::Knock> Access::knock(std::int64_t user_id, Wall now) {
  const bool known = members_.contains(user_id);
  if (!known && strangers_ >= kMaxStrangers) forget_strangers(now - kStrangerKept);
  if (!known && strangers_ >= kMaxStrangers) return std::nullopt;
  Member& m = at(user_id);
  if (m.standing == Standing::Denied) return std::nullopt;
  if (!known) ++strangers_;
  const bool answered_lately =
      m.last_reply != Wall{} && now >= m.last_reply && now - m.last_reply < kReplyEvery;
  if (answered_lately) return std::nullopt;
  m.last_reply = now;
  if (mode_ != config::Access::Pairing) return Knock{phrases::not_admitted(), m};
  if (m.pairing_code.empty()) m.pairing_code = fresh_id(kCodeLength);
  return Knock{phrases::pairing(m.pairing_code), m};
}

std::optional<std::int64_t> Access::resolve(std::string_view who) const {
  std::string code(who);
  std::transform(code.begin(), code.end(), code.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto& [id, m] : members_) {
    if (!m.pairing_code.empty() && m.pairing_code == code) return id;
  }
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(who.data(), who.data() + who.size(), id);
  if (error == std::errc{} && end == who.data() + who.size() && id > 0) return id;
  return std::nullopt;
}

Result<Access::Allowed> Access::allow(std::string_view who, bool as_admin) {
  if (!restored_) return fail(Code::Overloaded, std::string(kStarting));
  const auto id = resolve(who);
  if (!id) {
    return fail(Code::Rejected,
                "no such pairing code or user id: " + std::string(who) +
                    "; codes are shown to people who write to the bot, `katana users` lists them");
  }
  const bool first = !has_admin();
  Member& m = at(*id);
  if (m.standing == Standing::Stranger && strangers_ > 0 && !m.pairing_code.empty()) --strangers_;
  if (m.standing != Standing::Admin) m.standing = (as_admin || first) ? Standing::Admin : Standing::Allowed;
  m.pairing_code.clear();
  return Allowed{m, first};
}

Result<Member> Access::deny(std::string_view who) {
  if (!restored_) return fail(Code::Overloaded, std::string(kStarting));
  const auto id = resolve(who);
  if (!id) return fail(Code::Rejected, "no such pairing code or user id: " + std::string(who));
  Member& m = at(*id);
  m.standing = Standing::Denied;
  m.pairing_code.clear();
  return m;
}

std::vector<Member> Access::members() const {
  std::vector<Member> all;
  all.reserve(members_.size());
  for (const auto& [id, m] : members_)
    all.push_back(m);
  std::sort(all.begin(), all.end(), [](const Member& a, const Member& b) { return a.user_id < b.user_id; });
  return all;
}

}  // namespace katana::gateway
