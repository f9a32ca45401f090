#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/core/clock.hpp"
#include "common/net/http.hpp"
#include "workers/provider.hpp"

/// The rules that both vendors' HTTP answers share.
namespace katana::workers {

/// How long the server asks to wait: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.
std::optional<Millis> retry_after(const net::HttpHead& head, Wall now);

/// `12ms`, `1s`, `6m0s`, `1h2m3.5s`, or plain seconds.
std::optional<Millis> parse_span(std::string_view text);

/// What a status says by itself: its code, whether to try again, whether another key may do.
Failure judge(int status);
/// The same for an HTTP answer: `x-should-retry` overrides the rule, and the wait that was asked for is
/// filled in.
Failure judge(const net::HttpHead& head, const std::string& detail, Wall now);
/// The account has nothing left: waiting doesn't help, another account's key may.
Failure used_up(std::string detail);

/// A server's own words, fit for a log line: one line, valid, at most 300 characters.
std::string quote(std::string_view words);

/// A call that was answered by something else than a stream of events.
std::string not_a_stream(const net::HttpHead& head);

}  // namespace katana::workers
