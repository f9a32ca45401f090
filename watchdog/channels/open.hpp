#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/loop/loop.hpp"
#include "common/net/http.hpp"
#include "common/net/smtp.hpp"
#include "watchdog/channels/channel.hpp"

namespace katana::watchdog {

/// The channels that the settings name. None: nobody will be told. `on_moved`: the ops chat has that id now.
std::vector<std::unique_ptr<Channel>> open_channels(loop::Loop& loop, net::HttpClient& http,
                                                    net::MailClient& mail, const config::Settings& settings,
                                                    std::function<void(std::int64_t)> on_moved = {});

}  // namespace katana::watchdog
