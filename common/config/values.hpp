#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/settings.hpp"
#include "common/core/clock.hpp"
#include "common/core/result.hpp"

/// How each kind of setting is written. Pure: text in, value or reason out. An error's detail says what was
/// expected and how to write it, without the setting's name; it repeats the text only where that cannot be a
/// secret.
namespace katana::config {

/// Splits at commas and trims; empty items are left out.
std::vector<std::string> split_list(std::string_view text);

/// `90s`, `15m`, `1h`, `30d`.
Result<Seconds> parse_duration(std::string_view text, Seconds least, Seconds most);
Result<int> parse_count(std::string_view text, int least, int most);
/// `5 USD`, `2M tokens`, `200k tokens`, `off` (nullopt).
Result<std::optional<Budget>> parse_budget(std::string_view text);
/// `30,1,20` or `off`.
Result<TelegramLimits> parse_limits(std::string_view text);
/// Telegram user ids by comma.
Result<std::vector<std::int64_t>> parse_user_ids(std::string_view text);
/// A chat id (negative for groups) or `@channel`.
Result<std::string> parse_chat(std::string_view text);
/// `gateway,claude:1`.
Result<std::map<std::string, int>> parse_expect(std::string_view text);
/// `claude,openai`: each once.
Result<std::vector<std::string>> parse_providers(std::string_view text);
/// Words of letters, digits and `_`, by comma.
Result<std::vector<std::string>> parse_words(std::string_view text);
/// The model's id as its provider writes it.
Result<std::string> parse_model(std::string_view text);
Result<std::string> parse_instance(std::string_view text);

/// `host:port`, `[v6]:port`, or `off` (empty).
Result<std::string> parse_listen_address(std::string_view text);
/// `ipc:///path` (at most 107 bytes of path) or `tcp://host:port`.
Result<std::string> parse_endpoint(std::string_view text);

struct Url {
  std::string scheme, host, port, rest;  ///< host in lower case; rest from the first '/', '?' or '#'
};
/// Takes an absolute URL apart; refuses blanks, control characters and a user in it.
Result<Url> parse_url(std::string_view text);
/// `https://…` or `http://…`, no query; without the slash at its end.
Result<std::string> parse_base_url(std::string_view text);
/// `smtp://host:587` or `smtps://host:465`.
Result<std::string> parse_smtp_url(std::string_view text);
/// `http://…` or `socks5h://…`, a user and password allowed.
Result<std::string> parse_proxy(std::string_view text);
Result<std::string> parse_mail_address(std::string_view text);
/// Printable ASCII without blanks, 8–512 characters.
Result<std::string> parse_key(std::string_view text);

/// `"text"` for an error's detail: one short line, never something long enough to be a key.
std::string shown(std::string_view text);

}  // namespace katana::config
