#include "common/core/dates.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "common/core/text.hpp"

namespace katana {
namespace {

std::optional<int> digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

std::optional<Wall> at(std::optional<int> year, std::optional<int> month, std::optional<int> day,
                       std::string_view clock) {
  if (!year || !month || !day || clock.size() != 8 || clock[2] != ':' || clock[5] != ':') return std::nullopt;
  const auto hour = digits(clock.substr(0, 2));
  const auto minute = digits(clock.substr(3, 2));
  const auto second = digits(clock.substr(6, 2));
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *year < 1970 || *year > 2200) return std::nullopt;
  return Wall{std::chrono::sys_days{date} + std::chrono::hours{*hour} + std::chrono::minutes{*minute} +
              std::chrono::seconds{*second}};
}

}  // namespace

std::optional<Wall> parse_http_date(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  text = text::trim(text);  // the one form that a server may still send (RFC 9110, IMF-fixdate)
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT") return std::nullopt;
  const auto* month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
  if (month == kMonths.end()) return std::nullopt;
  return at(digits(text.substr(12, 4)), static_cast<int>(month - kMonths.begin()) + 1,
            digits(text.substr(5, 2)), text.substr(17, 8));
}

std::optional<Wall> parse_rfc3339(std::string_view text) {
  text = text::trim(text);
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't')) {
    return std::nullopt;
  }
  auto time =
      at(digits(text.substr(0, 4)), digits(text.substr(5, 2)), digits(text.substr(8, 2)), text.substr(11, 8));
  if (!time) return std::nullopt;
  std::string_view rest = text.substr(19);
  if (rest.front() == '.') rest = rest.substr(std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
  if (rest == "Z" || rest == "z") return time;
  if (rest.size() != 6 || rest[3] != ':' || (rest[0] != '+' && rest[0] != '-')) return std::nullopt;
  const auto hours = digits(rest.substr(1, 2));
  const auto minutes = digits(rest.substr(4, 2));
  if (!hours || !minutes) return std::nullopt;
  const auto offset = std::chrono::hours{*hours} + std::chrono::minutes{*minutes};
  return rest[0] == '+' ? *time - offset : *time + offset;
}

}  // namespace katana
