#include "common/config/values.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/config/scan.hpp"
#include "common/core/text.hpp"

namespace katana::config {
namespace {

using namespace scan;

constexpr std::size_t kMaxItems = 1000;
constexpr double kMaxBudget = 1e12;  // tokens, or micro-dollars: far above any bill
constexpr double kMaxRate = 1e5;
constexpr int kMaxExpected = 64;

std::optional<double> positive(std::string_view text, double most) {
  const auto value = number<double>(text);
  if (!value || !std::isfinite(*value) || *value <= 0 || *value > most) return std::nullopt;
  return value;
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
  for (std::size_t i = 0; good && i < std::size(into); ++i) {
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
  if (number<std::int64_t>(text).value_or(0) != 0) return std::string(text);
  return bad(
      shown(text) +
      " is no chat id; give its number (groups and channels have negative ones; katana init finds it, and "
      "a bot answers /id with it)");
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

}  // namespace katana::config
