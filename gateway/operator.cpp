// The operator's verbs over the control socket: the part of Gateway that `katana allow`, `users`, `usage` …
// speak to.
#include <cstdio>
#include <utility>

#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/gateway.hpp"

namespace katana::gateway {
namespace {

std::string_view name_of(Standing standing) {
  switch (standing) {
    case Standing::Stranger:
      return "waiting";
    case Standing::Allowed:
      return "allowed";
    case Standing::Admin:
      return "admin";
    case Standing::Denied:
      return "denied";
  }
  return "";
}

control::Answer refused(const Error& error) {
  return {1, error.detail};
}

}  // namespace

void Gateway::control(const control::Request& request, const control::ControlServer::Reply& reply) {
  const std::string& verb = request.verb;
  if (verb == "allow") return control_allow(request, reply);
  if (verb == "deny") return control_deny(request, reply);
  if (verb == "usage") return control_usage(reply);
  if (verb == "trace") return control_trace(request, reply);
  if (verb == "dead-letters") return control_dead_letters(request, reply);
  if (verb == "at-work") return reply({0, at_work_text()});
  if (verb == "users") return reply({0, users_text()});
  if (verb == "status") return reply({0, status_text()});
  if (verb == "store") return reply(store_answer());
  if (verb == "reload") {
    service_.reload();
    return reply({0, "Files were read again; polling and sending are tried again."});
  }
  if (verb == "backup" && request.words.size() == 1) {
    const std::string path = request.words[0];
    store_->backup(path, Done<Nothing>{.durable = [reply, path](Result<Nothing> done) {
                     reply(done ? control::Answer{0, "Backup written to " + path} : refused(done.error()));
                   }});
    return;
  }
  reply({2, "The gateway knows no verb \"" + verb + "\" with these words. See `katana --help`."});
}

void Gateway::control_allow(const control::Request& request, const control::ControlServer::Reply& reply) {
  if (request.words.empty()) return reply({2, "allow: which CODE or USER_ID?"});
  const bool as_admin = request.words.size() > 1 && request.words[1] == "--admin";
  auto allowed = access_.allow(request.words[0], as_admin);
  if (!allowed) return reply(refused(allowed.error()));
  const Member member = allowed->member;
  const bool first = allowed->first_admin;
  store_->put_member(
      member, Done<Nothing>{.durable = [this, member, first, reply](Result<Nothing> stored) {
        if (!stored)
          return reply(
              {1, "Allowed until the next start only, since the store failed: " + stored.error().detail});
        const bool admin = member.standing == Standing::Admin;
        std::string text =
            "User " + std::to_string(member.user_id) + " is let in" + (admin ? " as an admin." : ".");
        if (first) text += " There was no admin yet, so this user is the first one.";
        log::Room{"operator"}.info("{}", text);
        reply({0, text});
        const ChatKey chat{member.user_id, 0};  // a private chat has its user's id
        Reply welcome{.text = phrases::paired(admin)};
        store_->add_reply(chat, welcome,
                          Done<std::int64_t>{.durable = [this, chat, welcome](Result<std::int64_t> id) {
                            if (id) outbox_->reply(chat, *id, welcome);
                          }});
      }});
}

void Gateway::control_deny(const control::Request& request, const control::ControlServer::Reply& reply) {
  if (request.words.empty()) return reply({2, "deny: which CODE or USER_ID?"});
  auto denied = access_.deny(request.words[0]);
  if (!denied) return reply(refused(denied.error()));
  const std::int64_t user_id = denied->user_id;
  store_->put_member(*denied, Done<Nothing>{.durable = [reply, user_id](Result<Nothing> stored) {
    if (!stored) return reply(refused(stored.error()));
    reply({0, "User " + std::to_string(user_id) + " is shut out."});
  }});
}

void Gateway::control_usage(const control::ControlServer::Reply& reply) {
  const Wall since = service_.clock().wall() - std::chrono::hours{24};
  store_->usage(since, std::nullopt, Done<UsageSum>{.durable = [reply](Result<UsageSum> sum) {
                  if (!sum) return reply(refused(sum.error()));
                  std::string text = "Last 24 h: " + std::to_string(sum->calls) + " calls, " +
                                     std::to_string(sum->tokens.input_tokens) + " tokens in, " +
                                     std::to_string(sum->tokens.output_tokens) + " tokens out";
                  reply({0, text});
                }});
}

std::string Gateway::users_text() const {
  std::string text;
  char line[96];
  for (const auto& m : access_.members()) {
    std::snprintf(line, sizeof line, "%-14lld %-8s %s\n", static_cast<long long>(m.user_id),
                  name_of(m.standing).data(), m.pairing_code.c_str());
    text += line;
  }
  return text.empty() ? "Nobody yet. People who write to the bot get a code for `katana allow CODE`." : text;
}

/// For `katana drill`: a line a job that a worker is at, and that worker's id.
std::string Gateway::at_work_text() const {
  std::string text;
  if (!dispatcher_) return text;
  for (const auto& [job, worker] : dispatcher_->at_work())
    text += job + " " + worker + "\n";
  return text;
}

/// What `katana doctor` says of the store while we have it: nobody else can look into it then.
control::Answer Gateway::store_answer() const {
  const auto trouble = store_ ? store_->trouble() : std::nullopt;
  if (trouble) return {1, trouble->detail};
  return {0, settings_.store.reveal() + ": the running gateway has it, and it answers"};
}

std::string Gateway::status_text() const {
  return health_json();
}

}  // namespace katana::gateway
