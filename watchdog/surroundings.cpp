// Watchdog and what surrounds it: the gateways, which must see it go, its own disk, and whom it talks to.
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

}  // namespace katana::watchdog
