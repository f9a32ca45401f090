#include "workers/http_rules.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "common/core/dates.hpp"
#include "common/core/text.hpp"

namespace katana::workers {
namespace {

/// No wait that a server asks for is believed beyond this.
constexpr double kLongestWaitMs = 24.0 * 3600 * 1000;

std::optional<double> number(std::string_view text) {
  text = text::trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0)) return std::nullopt;
  return value;
}

Millis bounded(double ms) {
  return Millis{static_cast<std::int64_t>(std::clamp(ms, 0.0, kLongestWaitMs))};
}

}  // namespace

std::optional<Millis> parse_span(std::string_view text) {
  text = text::trim(text);
  if (const auto seconds = number(text)) return bounded(*seconds * 1000);
  if (text.empty()) return std::nullopt;
  double ms = 0;
  while (!text.empty()) {
    const std::size_t unit_at = text.find_first_not_of("0123456789.");
    if (unit_at == std::string_view::npos) return std::nullopt;
    const auto value = number(text.substr(0, unit_at));
    const std::string_view rest = text.substr(unit_at);
    const std::string_view unit = rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
    if (!value) return std::nullopt;
    if (unit == "ms")
      ms += *value;
    else if (unit == "s")
      ms += *value * 1000;
    else if (unit == "m")
      ms += *value * 60'000;
    else if (unit == "h")
      ms += *value * 3'600'000;
    else if (unit == "d")
      ms += *value * 86'400'000;
    else
      return std::nullopt;
    text = rest.substr(unit.size());
  }
  return bounded(ms);
}

std::optional<Millis> retry_after(const net::HttpHead& head, Wall now) {
  if (const auto ms = number(head.find("retry-after-ms"))) return bounded(*ms);
  const std::string_view value = head.find("retry-after");
  if (const auto seconds = number(value)) return bounded(*seconds * 1000);
  if (const auto date = parse_http_date(value)) {
    return bounded(static_cast<double>(std::chrono::duration_cast<Millis>(*date - now).count()));
  }
  return std::nullopt;
}

Failure judge(int status) {
  Failure failure;
  Code& code = failure.error.code;
  switch (status) {
    case 401:
    case 403:
      code = Code::Auth;
      failure.other_key = true;
      break;
    case 402:
      code = Code::Quota;
      failure.other_key = true;
      break;
    case 404:  // no such model, no such address: the operator's to mend, whatever the question is
      code = Code::Internal;
      break;
    case 408:
    case 504:
      code = Code::Timeout;
      failure.retry = true;
      break;
    case 429:
      code = Code::RateLimited;
      failure.retry = failure.other_key = true;
      break;
    default:
      failure.retry = status == 409 || status >= 500;
      code = failure.retry ? Code::Overloaded : Code::Rejected;
  }
  return failure;
}

Failure judge(const net::HttpHead& head, const std::string& detail, Wall now) {
  Failure failure = judge(head.status);
  if (const auto should = head.find("x-should-retry"); should == "true" || should == "false") {
    failure.retry = should == "true";
  }
  failure.error.detail = "HTTP " + std::to_string(head.status) + (detail.empty() ? "" : ": " + detail);
  if (failure.error.transient()) failure.error.retry_after = retry_after(head, now);
  return failure;
}

Failure used_up(std::string detail) {
  return {.error = {Code::Quota, std::move(detail)}, .retry = false, .other_key = true};
}

std::string quote(std::string_view words) {
  constexpr std::size_t kLongest = 300;
  return text::shorten(text::one_line(text::sanitize(words.substr(0, 4 * kLongest))), kLongest);
}

std::string not_a_stream(const net::HttpHead& head) {
  const std::string_view type = head.find("content-type");
  return "the server answered with " + (type.empty() ? "no content type" : quote(type)) +
         " where a stream of events was asked for: check the base URL";
}

}  // namespace katana::workers
