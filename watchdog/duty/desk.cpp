#include "watchdog/duty/desk.hpp"

#include <charconv>
#include <set>

#include "common/core/text.hpp"
#include "common/log/log.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"duty"};

}  // namespace

Result<std::string> Desk::did(Result<std::string> outcome, const std::string& by) {
  if (outcome)
    kLog.info("{} (by {})", *outcome, by);
  else
    kLog.info("not done for {}: {}", by, outcome.error().detail);
  hands_.changed();
  return outcome;
}

Result<std::string> Desk::acknowledge(const std::string& incident, const std::string& by) {
  auto title = book_.acknowledge(incident, hands_.now());
  if (!title) return did(fail(title.error()), by);
  return did("Acknowledged: " + *title, by);
}

Result<std::string> Desk::acknowledge_all(const std::string& by) {
  std::set<std::string> threads;  // a storm's members share one
  for (const auto& [key, i] : book_.open_incidents())
    if (i.told && !i.acknowledged) threads.insert(i.thread);
  if (threads.empty()) return did(fail(Code::Rejected, "nothing waits to be acknowledged"), by);
  for (const auto& thread : threads)
    static_cast<void>(book_.acknowledge(thread, hands_.now()));
  return did(
      "Acknowledged: " + std::to_string(threads.size()) + (threads.size() == 1 ? " incident" : " incidents"),
      by);
}

Result<std::string> Desk::silence(const std::string& what, Seconds length, const std::string& by) {
  const auto silence = book_.silence(what, length, hands_.now());
  if (!silence) return did(fail(silence.error()), by);
  return did("Silenced: " + silence->what + " until " + utc(silence->until), by);
}

Result<std::string> Desk::unsilence(const std::string& id, const std::string& by) {
  const auto ended = book_.unsilence(id, hands_.now());
  if (!ended) return did(fail(ended.error()), by);
  return did("The silence of " + id + " is over", by);
}

Result<std::string> Desk::restart(const std::string& instance, const std::string& by) {
  return did(hands_.restart(instance), by);
}

Result<Seconds> parse_span(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  std::int64_t seconds = 0;
  if (unit == "s") seconds = 1;
  if (unit.empty() || unit == "m" || unit == "min") seconds = 60;
  if (unit == "h") seconds = 3'600;
  if (unit == "d") seconds = 86'400;
  if (bad != std::errc{} || seconds == 0 || count <= 0 || count > 100'000)
    return fail(Code::Rejected, "'" + text::shorten(text::one_line(text::sanitize(text)), 20) +
                                    "' is no length of time; write 30m, 2h or 7d");
  return Seconds{count * seconds};
}

}  // namespace katana::watchdog
