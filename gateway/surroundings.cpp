// What Gateway knows of what surrounds it: how much waits at Telegram, and whether a watchdog is here.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <utility>
#include <variant>

#include "common/log/log.hpp"
#include "gateway/chat/phrases.hpp"
#include "gateway/counters.hpp"
#include "gateway/gateway.hpp"

namespace katana::gateway {
namespace {

constexpr Millis kAskBacklogEvery{60'000};

constexpr log::Room kLog{"gateway"};

}  // namespace

void Gateway::watch_surroundings() {
  // What an earlier process of ours told the admins of.
  if (std::ifstream file(unwatched_path()); file) {
    std::int64_t since = 0;
    file >> since;
    const auto ago = service_.clock().wall() - from_unix(since);
    watchers_.resume(service_.clock().mono() -
                     (since > 0 ? std::max(ago, Wall::duration::zero()) : Wall::duration::zero()));
  } else if (std::ifstream(watched_path())) {
    watchers_.expect(service_.clock().mono());
  }
  backlog_timer_ = service_.loop().every(kAskBacklogEvery, [this] { ask_backlog(); });
}

/// One call a minute, of no user's and in no chat. What fails in it shows in polling, too.
void Gateway::ask_backlog() {
  if (draining_) return;
  backlog_call_ = api_->pending_updates([this](telegram::ApiResult<std::int64_t> pending) {
    if (!pending) return kLog.warn("Telegram doesn't say how much waits: {}", pending.error().error.detail);
    backlog_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, *pending));
    ++backlog_readings_;
  });
}

// ---- the watchdog ----

void Gateway::from_bus(const bus::PeerId& peer, bus::Message message) {
  if (!watchers_.take(peer, message, service_.clock().mono()))
    return dispatcher_->on_message(peer, std::move(message));
  if (std::holds_alternative<bus::Beat>(message)) (void)bus_->send(peer, bus::Beat{});
  if (!std::holds_alternative<bus::Hello>(message)) return;
  kLog.info("A watchdog is here ({})", std::get<bus::Hello>(message).build);
  if (!std::ifstream(watched_path())) std::ofstream(watched_path()).flush();
  (void)bus_->send(peer, bus::Welcome{.gateway_id = service_.process_id()});
}

void Gateway::look_for_watchdog() {
  const auto news = watchers_.tick(service_.clock().mono());
  counters_->watchdog.set(watchers_.present() ? 1 : 0);
  if (!news || draining_) return;
  if (news->gone) {
    kLog.error("Nobody watches: the watchdog {} {} ms ago", news->goodbye ? "left" : "was heard last",
               news->lasted.count());
    tell_admins(phrases::nobody_watches(news->goodbye));
    std::ofstream(unwatched_path(), std::ios::trunc)
        << to_unix(service_.clock().wall() - news->lasted) << '\n';
  } else {
    kLog.info("A watchdog is here again, after {} ms", news->lasted.count());
    tell_admins(phrases::watched_again(news->lasted));
    std::remove(unwatched_path().c_str());
  }
}

/// In each one's private chat, as durable as any reply.
void Gateway::tell_admins(const std::string& text) {
  for (const Member& m : access_.members()) {
    if (m.standing != Standing::Admin) continue;
    const ChatKey chat{m.user_id, 0};
    const Reply reply{.text = text};
    store_->add_reply(chat, reply,
                      Done<std::int64_t>{.durable = [this, chat, reply](Result<std::int64_t> id) {
                        if (id) return outbox_->reply(chat, *id, reply);
                        kLog.error("An admin could not be told: {}", id.error().detail);
                      }});
  }
}

}  // namespace katana::gateway
