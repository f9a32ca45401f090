// Watchdog and what surrounds it: who must see it go (the gateways, the dead-man URL's owner), its own disk,
// and whom it talks to.
#include <utility>

#include "common/log/log.hpp"
#include "common/service/vitals.hpp"
#include "watchdog/watchdog.hpp"

namespace katana::watchdog {
namespace {

constexpr Millis kLookEvery{10'000};

constexpr log::Room kLog{"watchdog"};

}  // namespace

/// A gateway that can't be told of us is no reason not to watch.
void Watchdog::open_surroundings() {
  presence_ = std::make_unique<BusPresence>(service_.process_id(), KATANA_VERSION, service_.clock().mono());
  std::size_t next = 0;
  for (const std::string& endpoint : settings_.bus) {
    auto client = service_.bus().connect_jobs(
        endpoint,
        {.on_message =
             [this, gateway = next](const bus::Message& message) {
               presence_->on_message(gateway, message, service_.clock().mono());
             },
         .on_connected = [this,
                          gateway = next] { presence_->on_connected(gateway, service_.clock().mono()); }});
    if (client) {
      next = presence_->add_gateway(std::move(*client), service_.clock().mono()) + 1;
    } else {
      kLog.error("The gateway at {} can't see whether we are here: {}", endpoint, client.error().detail);
    }
  }
  presence_timer_ =
      service_.loop().every(BusPresence::kBeat, [this] { presence_->beat(service_.clock().mono()); });
  look_at_surroundings();
  timers_.push_back(service_.loop().every(kLookEvery, [this] { look_at_surroundings(); }));
}

void Watchdog::look_at_surroundings() {
  if (stopping_) return;
  const service::DiskSpace disk = service::disk_space(directory_);
  symptoms_->own_disk(disk.free_bytes, disk.total_bytes, now());
  if (const auto certificate = service_.http().earliest_certificate())
    symptoms_->own_certificate(certificate->endpoint, certificate->expires, now());
  settle();
}

// ---- the dead-man switch ----

Result<void> Watchdog::open_dead_man() {
  if (settings_.alerts.deadman_url.empty()) {
    judge_->dead_man_works(now());  // it is no longer set
    return {};
  }
  DeadMan::Chain chain{
      [this](const std::string& id) {
        bus::Heartbeat beat;
        beat.component = beat.instance = kSelfCheck;
        beat.process_id = id;
        beat.host = host_;
        if (own_beats_) own_beats_->publish(beat);
      },
      [this](const Notice& n, std::function<void(Result<void>)> then) { any_channel(n, std::move(then)); }};
  dead_man_ = std::make_unique<DeadMan>(service_.loop(), service_.clock(), service_.http(),
                                        settings_.alerts.deadman_url, std::move(chain),
                                        DeadMan::Events{[this](const Error& e) {
                                                          judge_->dead_man_failed(e, now());
                                                          settle();
                                                        },
                                                        [this] {
                                                          judge_->dead_man_works(now());
                                                          settle();
                                                        }});
  if (book_->is_open(Judge::kDeadMan)) dead_man_->resume_failing();
  // What is published before our own socket listens would be lost.
  auto connected = service_.bus().connect_heartbeats(settings_.watch, [this, begun = false]() mutable {
    if (!std::exchange(begun, true)) dead_man_->start();
  });
  if (!connected) return fail(with_context(connected.error(), "the dead-man switch's own heartbeat"));
  own_beats_ = std::move(*connected);
  return {};
}

/// Asks one after the other until one would take a notice.
void Watchdog::any_channel(const Notice& notice, std::function<void(Result<void>)> then) {
  struct Round {
    Notice notice;
    std::size_t next = 0;
    std::string refusals;
    std::function<void(Result<void>)> then;
    std::function<void()> ask;
  };
  auto round = std::make_shared<Round>();
  round->notice = notice;
  round->then = std::move(then);
  round->ask = [this, weak = std::weak_ptr<Round>(round)] {
    const auto held = weak.lock();
    if (!held) return;
    if (held->next == deliveries_.size())
      return held->then(
          fail(Code::Internal, held->refusals.empty() ? "no alert channel is set" : held->refusals));
    Delivery& delivery = *deliveries_[held->next++];
    delivery.check(held->notice, [held, name = delivery.name()](const Result<void>& outcome) {
      if (outcome) return held->then({});
      held->refusals += (held->refusals.empty() ? "" : "; ") + name + ": " + outcome.error().detail;
      held->ask();
    });
  };
  round->ask();
}

}  // namespace katana::watchdog
