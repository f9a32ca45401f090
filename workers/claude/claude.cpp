#include "workers/claude/claude.hpp"

#include <algorithm>
#include <array>

#include "common/core/dates.hpp"
#include "workers/claude/request.hpp"
#include "workers/claude/stream.hpp"
#include "workers/conversation.hpp"
#include "workers/http_rules.hpp"

namespace katana::claude {
namespace {

using workers::Failure;
namespace json = workers::json;

/// The version of the API's forms that this program reads and writes.
constexpr const char* kVersion = "anthropic-version: 2026-10-21";

class Claude final : public workers::Provider {
 public:
  explicit Claude(const config::Provider& settings)
      : url_(workers::join_url(settings.base_url, "/v1/messages")), proxy_(settings.proxy) {}

  [[nodiscard]] std::string_view name() const override { return "claude"; }

  Result<net::HttpRequest> build(const bus::Job& job, const workers::Blobs& blobs,
                                 const Secret& key) override {
    auto body = request_body(job, blobs);
    if (!body) return fail(body.error());
    net::HttpRequest request;
    request.url = url_;
    request.headers = {"content-type: application/json", "accept: text/event-stream", kVersion};
    if (!key.empty()) request.headers.push_back("x-api-key: " + key.reveal());
    request.body = std::move(*body);
    request.proxy = proxy_;
    request.allow_plain = url_.compare(0, 7, "http://") == 0;
    return request;
  }

  std::unique_ptr<workers::Decoder> decoder() override { return make_decoder(reader_); }

  Failure refusal(const net::HttpHead& head, std::string_view body, Wall now) override {
    json::Element doc;
    json::Object error;
    if (reader_.read_copy(body).get(doc) || doc["error"].get_object().get(error)) {
      return workers::judge(head, head.status == 200 ? workers::not_a_stream(head) : std::string(), now);
    }
    Failure named = failure_of(error);
    if (named.error.code == Code::Quota || head.status == 200) return named;
    return workers::judge(head, named.error.detail, now);
  }

  std::optional<Millis> hold(const net::HttpHead& head, Wall now) override {
    static constexpr std::array<const char*, 4> kKinds = {"requests", "tokens", "input-tokens",
                                                          "output-tokens"};
    std::optional<Millis> longest;
    for (const char* kind : kKinds) {
      const std::string prefix = std::string("anthropic-ratelimit-") + kind;
      if (head.find(prefix + "-remaining") != "0") continue;
      const auto reset = parse_rfc3339(head.find(prefix + "-reset"));
      if (!reset) continue;
      const auto wait = std::chrono::duration_cast<Millis>(*reset - now);
      if (wait.count() > 0) longest = std::max(longest.value_or(Millis{0}), wait);
    }
    return longest;
  }

  [[nodiscard]] std::string request_id(const net::HttpHead& head) const override {
    return std::string(head.find("request-id"));
  }

 private:
  std::string url_;
  Secret proxy_;
  json::Reader reader_;
};

}  // namespace

std::unique_ptr<workers::Provider> make_provider(const config::Provider& settings) {
  return std::make_unique<Claude>(settings);
}

}  // namespace katana::claude
