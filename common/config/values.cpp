#include "common/config/values.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/core/secret.hpp"
#include "common/core/text.hpp"

namespace katana::config {
namespace {

constexpr std::size_t kMaxItems = 1000;
constexpr double kMaxBudget = 1e12;  // tokens, or micro-dollars: far above any bill
constexpr double kMaxRate = 1e5;
constexpr int kMaxExpected = 64;

tl::unexpected<Error> bad(std::string detail) {
  return fail(Code::Rejected, std::move(detail));
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> positive(std::string_view text, double most) {
  const auto value = number<double>(text);
  if (!value || !std::isfinite(*value) || *value <= 0 || *value > most) return std::nullopt;
  return value;
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

bool all_of(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           extra.find(c) != std::string_view::npos;
  });
}

bool is_port(std::string_view text, int least) {
  const auto port = number<int>(text);
  return port && *port >= least && *port <= 65535;
}

/// `host:port` or `[v6]:port` in two.
std::optional<std::pair<std::string_view, std::string_view>> host_and_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const auto host = text.substr(0, colon);
  const bool v6 = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (!v6 && host.find(':') != std::string_view::npos) return std::nullopt;
  if (!all_of(v6 ? host.substr(1, host.size() - 2) : host, v6 ? ":.%" : ".-_*")) return std::nullopt;
  return std::pair{host, text.substr(colon + 1)};
}

std::string duration_text(Seconds s) {
  const auto n = s.count();
  if (n % 86400 == 0) return std::to_string(n / 86400) + "d";
  if (n % 3600 == 0) return std::to_string(n / 3600) + "h";
  if (n % 60 == 0) return std::to_string(n / 60) + "m";
  return std::to_string(n) + "s";
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 24;  // shorter than any token or API key
  if (text.size() > kLongest) return "the value";
  return "\"" + text::one_line(text::sanitize(text)) + "\"";
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto item = text::trim(text.substr(0, comma));
    if (!item.empty()) out.emplace_back(item);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return out;
}

Result<Seconds> parse_duration(std::string_view text, Seconds least, Seconds most) {
  const auto wrong = [&] {
    return bad(shown(text) + " is no duration; write it such as 90s, 15m, 1h or 30d");
  };
  if (text.size() < 2) return wrong();
  std::int64_t unit = 0;
  switch (text.back()) {
    case 's':
      unit = 1;
      break;
    case 'm':
      unit = 60;
      break;
    case 'h':
      unit = 3600;
      break;
    case 'd':
      unit = 86400;
      break;
    default:
      return wrong();
  }
  const auto count = number<std::int32_t>(text.substr(0, text.size() - 1));
  if (!count || *count < 0) return wrong();
  const Seconds value{*count * unit};
  if (value < least || value > most) {
    return bad(shown(text) + " is out of range; set it between " + duration_text(least) + " and " +
               duration_text(most));
  }
  return value;
}

Result<int> parse_count(std::string_view text, int least, int most) {
  const auto value = number<int>(text);
  if (!value || *value < least || *value > most) {
    return bad(shown(text) + " is no number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return *value;
}

Result<std::optional<Budget>> parse_budget(std::string_view text) {
  const auto wrong = [&] {
    return bad(shown(text) + " is no budget; write it such as 5 USD, 2M tokens or off");
  };
  if (lower(text) == "off") return std::optional<Budget>();
  const auto digits = text.find_first_not_of("0123456789.");
  if (digits == std::string_view::npos || digits == 0) return wrong();
  const auto amount = positive(text.substr(0, digits), kMaxBudget);
  if (!amount) return wrong();
  std::string unit = lower(text::trim(text.substr(digits)));
  if (unit == "usd") {
    const double micro = *amount * 1e6;
    if (micro < 1 || micro > kMaxBudget) return wrong();
    return std::optional(Budget{Budget::Unit::MicroUsd, static_cast<std::uint64_t>(std::llround(micro))});
  }
  double factor = 1;
  if (unit.starts_with('k')) factor = 1e3;
  if (unit.starts_with('m')) factor = 1e6;
  if (factor > 1) unit = std::string(text::trim(std::string_view(unit).substr(1)));
  const double tokens = *amount * factor;
  if (unit != "tokens" || tokens < 1 || tokens > kMaxBudget) return wrong();
  return std::optional(Budget{Budget::Unit::Tokens, static_cast<std::uint64_t>(std::llround(tokens))});
}

Result<TelegramLimits> parse_limits(std::string_view text) {
  if (lower(text) == "off") return TelegramLimits{0, 0, 0};
  const auto items = split_list(text);
  TelegramLimits out;
  double* const into[] = {&out.bot_per_second, &out.chat_per_second, &out.group_per_minute};
  bool good = items.size() == std::size(into);
  for (std::size_t i = 0; good && i < items.size(); ++i) {
    const auto value = positive(items[i], kMaxRate);
    good = value.has_value();
    if (good) *into[i] = *value;
  }
  if (good) return out;
  return bad(
      shown(text) +
      " are no limits; write calls a second for the bot, a second for a chat, a minute for a group, such as "
      "30,1,20, or off");
}

Result<std::vector<std::int64_t>> parse_user_ids(std::string_view text) {
  std::vector<std::int64_t> out;
  for (const auto& item : split_list(text)) {
    const auto id = number<std::int64_t>(item);
    if (!id || *id <= 0) {
      return bad(shown(item) +
                 " is no Telegram user id; give numbers by comma (the bot answers /id with yours)");
    }
    if (std::find(out.begin(), out.end(), *id) == out.end()) out.push_back(*id);
    if (out.size() > kMaxItems) return bad("more than " + std::to_string(kMaxItems) + " ids");
  }
  return out;
}

Result<std::string> parse_chat(std::string_view text) {
  const bool channel =
      text.size() > 1 && text.size() <= 64 && text.front() == '@' && all_of(text.substr(1), "_");
  if (!channel && number<std::int64_t>(text).value_or(0) == 0) {
    return bad(shown(text) + " is no chat id; give its number (groups are negative) or @channel");
  }
  return std::string(text);
}

Result<std::map<std::string, int>> parse_expect(std::string_view text) {
  std::map<std::string, int> out;
  for (const auto& item : split_list(text)) {
    const auto colon = item.find(':');
    const auto component = item.substr(0, colon);
    const auto count = colon == std::string::npos ? std::optional(1) : number<int>(item.substr(colon + 1));
    const bool known =
        component == "gateway" || component == "claude" || component == "openai" || component == "watchdog";
    if (!known || !count || *count < 1 || *count > kMaxExpected || !out.emplace(component, *count).second) {
      return bad(shown(item) +
                 " is not understood; write each of gateway, claude, openai once, with how many, such as "
                 "gateway,claude:1,openai:2");
    }
  }
  return out;
}

Result<std::vector<std::string>> parse_providers(std::string_view text) {
  auto items = split_list(text);
  for (auto at = items.begin(); at != items.end(); ++at) {
    if ((*at != "claude" && *at != "openai") || std::find(items.begin(), at, *at) != at) {
      return bad(shown(*at) + " is not understood; name claude and openai, each once");
    }
  }
  return items;
}

Result<std::vector<std::string>> parse_words(std::string_view text) {
  auto items = split_list(text);
  for (const auto& item : items) {
    if (item.size() > 64 || !all_of(item, "_")) {
      return bad(shown(item) + " is no module's name; write names of letters, digits and _ by comma, or off");
    }
  }
  if (items.size() > kMaxItems) return bad("more than " + std::to_string(kMaxItems) + " names");
  return items;
}

Result<std::string> parse_model(std::string_view text) {
  if (text.size() > 128 || !all_of(text, "._:/@-")) {
    return bad(shown(text) + " is no model's id; write it as the provider does, such as claude-sonnet-5-5");
  }
  return std::string(text);
}

Result<std::string> parse_instance(std::string_view text) {
  if (text.empty() || text.size() > 64 || !all_of(text, "._-")) {
    return bad(shown(text) +
               " is no instance's name; use letters, digits and . _ - (64 at most), such as claude-2");
  }
  return std::string(text);
}

Result<std::string> parse_listen_address(std::string_view text) {
  if (lower(text) == "off") return std::string();
  const auto parts = host_and_port(text);
  if (!parts || !is_port(parts->second, 0)) {
    return bad(shown(text) + " is no address; write host:port such as 127.0.0.1:9710, or off");
  }
  return std::string(text);
}

Result<std::string> parse_endpoint(std::string_view text) {
  constexpr std::string_view kIpc = "ipc://";
  constexpr std::string_view kTcp = "tcp://";
  constexpr std::size_t kLongestSocketPath = 107;  // sockaddr_un::sun_path without its closing zero
  if (text.starts_with(kIpc)) {
    const auto path = text.substr(kIpc.size());
    if (!path.starts_with('/'))
      return bad("the path after ipc:// must begin with /, such as ipc:///run/katana/jobs.ipc");
    if (path.size() > kLongestSocketPath) {
      return bad("the socket's path has " + std::to_string(path.size()) +
                 " bytes and the system allows 107; choose a shorter directory (KATANA_RUN_DIR)");
    }
    return std::string(text);
  }
  if (text.starts_with(kTcp)) {
    const auto parts = host_and_port(text.substr(kTcp.size()));
    if (parts && is_port(parts->second, 1)) return std::string(text);
  }
  return bad("not an endpoint; write ipc:///path or tcp://host:port");
}

Result<Url> parse_url(std::string_view text) {
  if (!printable(text) || text.size() > 2048)
    return bad("not a URL (blanks or control characters in it, or too long)");
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0)
    return bad("not a URL; write it such as https://host/path");
  Url out;
  out.scheme = lower(text.substr(0, colon));
  text.remove_prefix(colon + 3);
  const auto end = std::min(text.find_first_of("/?#"), text.size());
  const auto authority = text.substr(0, end);
  out.rest = std::string(text.substr(end));
  if (authority.find('@') != std::string_view::npos) return bad("no user or password may stand in this URL");
  const auto parts = host_and_port(authority);
  if (parts) {
    if (!is_port(parts->second, 1)) return bad("the URL's port is no number from 1 to 65535");
    out.host = lower(parts->first);
    out.port = std::string(parts->second);
  } else {
    const bool v6 = authority.size() > 2 && authority.front() == '[' && authority.back() == ']';
    if (authority.empty() || (!v6 && !all_of(authority, ".-_"))) return bad("the URL names no host");
    out.host = lower(authority);
  }
  return out;
}

Result<std::string> parse_base_url(std::string_view text) {
  auto url = parse_url(text);
  if (!url) return fail(url.error());
  if (url->scheme != "https" && url->scheme != "http")
    return bad("the URL must begin with https:// (or http://)");
  if (url->rest.find_first_of("?#") != std::string::npos) return bad("no ? or # may stand in this URL");
  while (text.ends_with('/'))
    text.remove_suffix(1);
  return std::string(text);
}

Result<std::string> parse_smtp_url(std::string_view text) {
  auto url = parse_url(text);
  if (!url) {
    return bad(url.error().detail +
               "; write smtp://host:587 or smtps://host:465 (user and password go in SMTP_USER "
               "and SMTP_PASSWORD)");
  }
  if ((url->scheme != "smtp" && url->scheme != "smtps") || (!url->rest.empty() && url->rest != "/")) {
    return bad("write smtp://host:587 (STARTTLS) or smtps://host:465");
  }
  return std::string(text);
}

Result<std::string> parse_proxy(std::string_view text) {
  const auto wrong = [] { return bad("not a proxy; write http://host:port or socks5h://host:port"); };
  if (!printable(text) || text.size() > 2048) return wrong();
  const auto scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return wrong();
  const auto scheme = lower(text.substr(0, scheme_end));
  auto authority = text.substr(scheme_end + 3);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  const auto at = authority.rfind('@');
  if (at != std::string_view::npos) authority.remove_prefix(at + 1);
  const auto parts = host_and_port(authority);
  if ((scheme != "http" && scheme != "socks5h") || !parts || !is_port(parts->second, 1)) return wrong();
  return std::string(text);
}

Result<std::string> parse_mail_address(std::string_view text) {
  const auto at = text.find('@');
  const bool good = printable(text) && text.size() <= 254 && at != std::string_view::npos && at > 0 &&
                    at + 1 < text.size() && text.find('@', at + 1) == std::string_view::npos &&
                    text.find_first_of("<>,;:\\\"()[]") == std::string_view::npos;
  if (!good) return bad("not an e-mail address; write it alone, such as ops@example.org");
  return std::string(text);
}

Result<std::string> parse_key(std::string_view text) {
  if (text.size() < 8 || text.size() > 512 || !printable(text)) {
    return bad(
        "not a key (8 to 512 printable characters without blanks); copy it again from the provider's "
        "console");
  }
  return std::string(text);
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

}  // namespace katana::config
