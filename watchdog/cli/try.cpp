#include "watchdog/cli/try.hpp"

#include <chrono>
#include <memory>
#include <optional>

#include <simdjson.h>
#include <unistd.h>

#include "common/core/dates.hpp"
#include "common/core/id.hpp"
#include "watchdog/channels/open.hpp"

namespace katana::watchdog {
namespace {

constexpr Seconds kLimit{75};  // above every time limit below it

template <class T>
Result<T> plain(telegram::ApiResult<T> result) {
  if (result) return std::move(*result);
  return fail(std::move(result.error().error));
}

Error provider_error(int status) {
  const std::string said = "it answered HTTP " + std::to_string(status);
  if (status == 401 || status == 403)
    return {Code::Auth, "the key is refused (HTTP " + std::to_string(status) + ")"};
  if (status == 429) return {Code::RateLimited, said};
  return {status >= 500 ? Code::Overloaded : Code::Rejected, said};
}

/// The ids in `{"data":[{"id":…},…]}`, as both vendors write it; none of anything else.
std::vector<std::string> read_models(const std::string& json) {
  std::vector<std::string> ids;
  simdjson::dom::parser parser;
  simdjson::dom::array models;
  if (parser.parse(json)["data"].get(models) != simdjson::SUCCESS) return ids;
  for (const auto model : models) {
    std::string_view id;
    if (model["id"].get(id) == simdjson::SUCCESS) ids.emplace_back(id);
  }
  return ids;
}

}  // namespace

bool Try::until(const bool& done) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!done && std::chrono::steady_clock::now() < end)
    loop_.run_once(Millis{200});
  return done;
}

Result<telegram::BotUser> Try::bot(const telegram::BotAccess& access) {
  telegram::HttpBotApi api(http_, access);
  bool done = false;
  Result<telegram::BotUser> out = fail(Code::Timeout, "no answer");
  const auto call = api.get_me([&](telegram::ApiResult<telegram::BotUser> r) {
    out = plain(std::move(r));
    done = true;
  });
  until(done);
  return out;
}

Result<std::string> Try::updates(const telegram::BotAccess& access, std::int64_t offset, Seconds wait) {
  telegram::HttpBotApi api(http_, access);
  bool done = false;
  Result<std::string> out = fail(Code::Timeout, "no answer");
  const auto call = api.get_updates(offset, 100, wait, [&](telegram::ApiResult<telegram::RawUpdates> r) {
    out = plain(std::move(r)).map([](telegram::RawUpdates raw) { return std::move(raw.json); });
    done = true;
  });
  until(done);
  return out;
}

Result<ProviderAnswer> Try::key(const std::string& provider, const std::string& base_url, const Secret& key,
                                const Secret& proxy) {
  net::HttpRequest request;
  request.method = "GET";
  request.allow_plain = base_url.starts_with("http://");
  request.proxy = proxy;
  request.total_timeout = Millis{20'000};
  if (provider == "claude") {
    request.url = base_url + "/v1/models?limit=1000";
    request.headers = {"x-api-key: " + key.reveal(), "anthropic-version: 2026-10-21"};
  } else {
    request.url = base_url + "/models";
    request.headers = {"Authorization: Bearer " + key.reveal()};
  }
  bool done = false;
  Result<ProviderAnswer> out = fail(Code::Timeout, "no answer");
  net::HttpEvents events;
  events.on_done = [&](Result<net::HttpResponse> r) {
    done = true;
    if (!r)
      out = fail(std::move(r.error()));
    else if (r->head.status / 100 != 2)
      out = fail(provider_error(r->head.status));
    else
      out = ProviderAnswer{read_models(r->body), parse_http_date(r->head.find("date"))};
  };
  const auto call = http_.start(std::move(request), std::move(events));
  until(done);
  return out;
}

std::vector<std::pair<std::string, Result<Receipt>>> Try::send(const config::Settings& settings,
                                                               const Notice& notice) {
  const auto channels = open_channels(loop_, http_, http_, settings);
  std::vector<std::pair<std::string, Result<Receipt>>> out;
  out.reserve(channels.size());
  for (const auto& channel : channels)
    out.emplace_back(channel->name(), fail(Code::Timeout, "no answer"));
  std::size_t open = channels.size();
  bool done = open == 0;
  for (std::size_t i = 0; i < channels.size(); ++i)
    channels[i]->send(notice, "", [&, i](Result<Receipt> r) {
      out[i].second = std::move(r);
      done = --open == 0;
    });
  until(done);
  return out;
}

Notice notice_of(NoticeKind kind, const std::string& where, const std::string& title,
                 const std::string& effect) {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  Notice n;
  n.id = fresh_id(10);
  n.incident = fresh_id(10);
  n.kind = kind;
  n.severity = kind == NoticeKind::Test ? Severity::Warning : Severity::Critical;
  n.at = n.since = SystemClock().wall();
  n.host = host;
  n.where = where;
  n.title = title;
  n.effect = effect;
  return n;
}

}  // namespace katana::watchdog
