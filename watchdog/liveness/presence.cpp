#include "watchdog/liveness/presence.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace katana::watchdog {

std::size_t BusPresence::add_gateway(std::unique_ptr<bus::JobClient> client, Mono now) {
  links_.push_back({.client = std::move(client), .heard = now});
  return links_.size() - 1;
}

void BusPresence::say_hello(Link& link, Mono now) {
  const bus::Hello hello{
      .role = bus::Role::Watchdog, .worker_id = id_, .provider = "watchdog", .build = build_};
  if (link.client->send(hello)) link.said_hello = now;
}

void BusPresence::on_connected(std::size_t gateway, Mono now) {
  Link& link = links_[gateway];
  link.joined = false;
  say_hello(link, now);
}

void BusPresence::on_message(std::size_t gateway, const bus::Message& message, Mono now) {
  Link& link = links_[gateway];
  link.heard = now;
  if (std::holds_alternative<bus::Welcome>(message)) link.joined = true;
}

void BusPresence::beat(Mono now) {
  const bool late = now - std::exchange(last_beat_, now) >= kLate;
  for (Link& link : links_) {
    if (late) link.heard = now;
    if (now - link.heard >= kGone) {
      link.client->reconnect();
      link.heard = now;
      link.said_hello.reset();
      link.joined = false;
    } else if (!link.joined && (!link.said_hello || now - *link.said_hello >= kWelcomeWithin)) {
      say_hello(link, now);
    } else if (link.joined) {
      (void)link.client->send(bus::Beat{});  // what can't go is missed there, and that is the point
    }
  }
}

void BusPresence::leave() {
  for (Link& link : links_)
    if (link.joined) (void)link.client->send(bus::Goodbye{});
}

std::size_t BusPresence::joined() const {
  return static_cast<std::size_t>(
      std::count_if(links_.begin(), links_.end(), [](const Link& link) { return link.joined; }));
}

}  // namespace katana::watchdog
