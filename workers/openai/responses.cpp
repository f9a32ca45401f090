#include "workers/http_rules.hpp"
#include "workers/openai/stream.hpp"

namespace katana::openai {
namespace {

using workers::Answer;
using workers::Attempted;
using workers::Failure;
using workers::SseEvent;
using workers::Step;
namespace json = workers::json;

tl::unexpected<Failure> malformed(std::string_view kind, simdjson::error_code error) {
  Failure failure;
  failure.error = {Code::Malformed, "event " + workers::quote(kind) + ": " + simdjson::error_message(error)};
  return tl::unexpected(std::move(failure));
}

tl::unexpected<Failure> in_stream(const json::Object& error) {
  Failure failure = failure_of(error, 0);
  failure.error.detail = "error in mid-stream: " + failure.error.detail;
  return tl::unexpected(std::move(failure));
}

void book(const json::Object& usage, Answer& answer) {
  json::count(usage["input_tokens"], answer.usage.input_tokens);
  json::Object details;
  if (usage["input_tokens_details"].get_object().get(details) == simdjson::SUCCESS) {
    json::count(details["cached_tokens"], answer.usage.cache_read_tokens);
  }
  json::count(usage["output_tokens"], answer.usage.output_tokens);
}

/// The Responses API: named events, the last of which holds the whole response again.
class ResponsesDecoder final : public workers::Decoder {
 public:
  explicit ResponsesDecoder(json::Reader& reader) : reader_(reader) {}

  Attempted<Step> read(const SseEvent& event, Answer& answer) override {
    if (event.data == "[DONE]") return Step::Done;
    json::Element doc;
    if (const auto error = reader_.read(event.data).get(doc)) return malformed(event.name, error);
    std::string_view kind = event.name;
    if (kind.empty()) {
      if (const auto error = doc["type"].get_string().get(kind)) return malformed("without a name", error);
    }
    if (kind == "response.output_text.delta" || kind == "response.refusal.delta")
      return delta(kind, doc, answer);
    if (kind == "response.completed" || kind == "response.incomplete" || kind == "response.created") {
      return state(kind, doc, answer);
    }
    if (kind == "response.failed") return failed(doc);
    if (kind == "error") return error_event(doc);
    return kind == "ping" || kind == "keepalive" ? Step::Ping : Step::Work;
  }

 private:
  Attempted<Step> delta(std::string_view kind, const json::Element& doc, Answer& answer) {
    std::string_view text;
    if (const auto error = doc["delta"].get_string().get(text)) return malformed(kind, error);
    json::append(answer.text, text);
    refused_ = refused_ || kind == "response.refusal.delta";
    return Step::Work;
  }

  Attempted<Step> state(std::string_view kind, const json::Element& doc, Answer& answer) {
    json::Object response;
    if (const auto error = doc["response"].get_object().get(response)) return malformed(kind, error);
    answer.id = json::string_or_empty(response["id"]);
    if (const auto model = json::string_or_empty(response["model"]); !model.empty()) answer.model = model;
    json::Object usage;
    if (response["usage"].get_object().get(usage) == simdjson::SUCCESS) book(usage, answer);
    if (kind == "response.created") return Step::Work;
    if (kind == "response.completed") {
      answer.stop = refused_ ? bus::StopReason::Refusal : bus::StopReason::End;
      return Step::Done;
    }
    json::Object details;
    std::string_view reason;
    if (response["incomplete_details"].get_object().get(details) == simdjson::SUCCESS) {
      reason = json::string_or_empty(details["reason"]);
    }
    answer.stop = reason == "max_output_tokens" ? bus::StopReason::Length
                  : reason == "content_filter"  ? bus::StopReason::Filtered
                                                : bus::StopReason::Other;
    return Step::Done;
  }

  static Attempted<Step> failed(const json::Element& doc) {
    json::Object error;
    if (const auto code = doc["response"]["error"].get_object().get(error))
      return malformed("response.failed", code);
    return in_stream(error);
  }

  /// The newest form has the fields at the top; proxies and older ones nest them.
  static Attempted<Step> error_event(const json::Element& doc) {
    json::Object error;
    if (doc["error"].get_object().get(error) == simdjson::SUCCESS) return in_stream(error);
    if (const auto code = doc.get_object().get(error)) return malformed("error", code);
    return in_stream(error);
  }

  json::Reader& reader_;
  bool refused_ = false;  ///< its words are a refusal; whole only when the response is
};

}  // namespace

std::unique_ptr<workers::Decoder> make_responses_decoder(json::Reader& reader) {
  return std::make_unique<ResponsesDecoder>(reader);
}

}  // namespace katana::openai
