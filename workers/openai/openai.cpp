#include "workers/openai/openai.hpp"

#include <algorithm>
#include <cctype>

#include "workers/conversation.hpp"
#include "workers/http_rules.hpp"
#include "workers/openai/request.hpp"
#include "workers/openai/stream.hpp"

namespace katana::openai {
namespace {

using workers::Failure;
namespace json = workers::json;

/// What both APIs of the vendor have in common.
class OpenAi : public workers::Provider {
 public:
  OpenAi(const config::Provider& settings, std::string_view path)
      : url_(workers::join_url(settings.base_url, path)), proxy_(settings.proxy) {}

  [[nodiscard]] std::string_view name() const override { return "openai"; }

  Result<net::HttpRequest> build(const bus::Job& job, const workers::Blobs& blobs,
                                 const Secret& key) override {
    auto written = body(job, blobs);
    if (!written) return fail(written.error());
    net::HttpRequest request;
    request.url = url_;
    request.headers = {"content-type: application/json", "accept: text/event-stream"};
    if (!key.empty()) request.headers.push_back("authorization: Bearer " + key.reveal());
    request.body = std::move(*written);
    request.proxy = proxy_;
    request.allow_plain = url_.compare(0, 7, "http://") == 0;
    return request;
  }

  Failure refusal(const net::HttpHead& head, std::string_view text, Wall now) override {
    json::Element doc;
    json::Object error;
    if (reader_.read_copy(text).get(doc)) return plain(head, {}, now);
    if (doc["error"].get_object().get(error)) {
      // Compatible servers: {"error":"words"}, {"message":"words"}, {"detail":"words"}.
      std::string words;
      for (const char* field : {"error", "message", "detail"}) {
        if (words.empty()) words = workers::quote(json::string_or_empty(doc[field]));
      }
      return plain(head, words, now);
    }
    Failure named = failure_of(error, head.status == 200 ? 0 : head.status);
    if (named.error.code == Code::Quota || head.status == 200) return named;
    return workers::judge(head, named.error.detail, now);
  }

  std::optional<Millis> hold(const net::HttpHead& head, Wall /*now*/) override {
    std::optional<Millis> longest;
    const auto look = [&](const char* remaining, const char* reset) {
      if (head.find(remaining) != "0") return;
      const auto wait = workers::parse_span(head.find(reset));
      if (wait && wait->count() > 0) longest = std::max(longest.value_or(Millis{0}), *wait);
    };
    look("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests");
    look("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens");
    return longest;
  }

  [[nodiscard]] std::string request_id(const net::HttpHead& head) const override {
    return std::string(head.find("x-request-id"));
  }

 protected:
  virtual Result<std::string> body(const bus::Job& job, const workers::Blobs& blobs) const = 0;
  json::Reader reader_;

 private:
  static Failure plain(const net::HttpHead& head, const std::string& words, Wall now) {
    const bool no_words = head.status == 200 && words.empty();
    return workers::judge(head, no_words ? workers::not_a_stream(head) : words, now);
  }

  std::string url_;
  Secret proxy_;
};

class Responses final : public OpenAi {
 public:
  explicit Responses(const config::Provider& settings) : OpenAi(settings, "/responses") {}
  std::unique_ptr<workers::Decoder> decoder() override { return make_responses_decoder(reader_); }

 private:
  Result<std::string> body(const bus::Job& job, const workers::Blobs& blobs) const override {
    return responses_body(job, blobs);
  }
};

/// Tells "I don't know this field" from "its value is too large".
bool speaks_of_unknown_field(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* word : {"unknown", "unrecognized", "unsupported", "not supported", "unexpected", "extra",
                           "not permitted", "additional properties"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

class Chat final : public OpenAi {
 public:
  explicit Chat(const config::Provider& settings) : OpenAi(settings, "/chat/completions") {}
  std::unique_ptr<workers::Decoder> decoder() override { return make_chat_decoder(reader_); }

  /// Older servers refuse fields that they don't know, and the newest models the older cap: go by what is
  /// named.
  bool learn(const net::HttpHead& head, std::string_view text) override {
    if ((head.status != 400 && head.status != 422) || !speaks_of_unknown_field(text)) return false;
    const auto names = [&](std::string_view field) { return text.find(field) != std::string_view::npos; };
    if (dialect_.old_cap && names("max_tokens")) {
      dialect_.old_cap = false;
    } else if (names("max_completion_tokens")) {
      dialect_.old_cap = true;
    } else if (names("stream_options")) {
      dialect_.no_usage = true;
    } else {
      return false;
    }
    return true;
  }

 private:
  Result<std::string> body(const bus::Job& job, const workers::Blobs& blobs) const override {
    return chat_body(job, blobs, dialect_);
  }

  ChatDialect dialect_;
};

}  // namespace

std::unique_ptr<workers::Provider> make_provider(const config::Provider& settings) {
  if (settings.api == config::OpenAiApi::Chat) return std::make_unique<Chat>(settings);
  return std::make_unique<Responses>(settings);
}

}  // namespace katana::openai
