#pragma once

#include <string>

#include "common/config/settings.hpp"
#include "common/net/smtp.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// Alerts by e-mail: text and HTML. The first message of an incident has an id made of the incident's, and
/// all others refer to it, so that a mail program shows one thread.
class EmailChannel final : public Channel {
 public:
  EmailChannel(net::MailClient& mail, config::Alerts alerts) : mail_(mail), alerts_(std::move(alerts)) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Pace pace() const override { return {30, Millis{10'000}}; }
  void send(const Notice& notice, const std::string& thread,
            std::function<void(Result<Receipt>)> then) override;
  void probe(std::function<void(Result<void>)> then) override;
  [[nodiscard]] bool probe_proves() const override { return true; }

 private:
  [[nodiscard]] net::Mail envelope() const;

  const std::string name_ = "email";
  net::MailClient& mail_;
  config::Alerts alerts_;
  net::HttpCall call_;
  net::HttpCall probe_;
};

}  // namespace katana::watchdog
