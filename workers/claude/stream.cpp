#include "workers/claude/stream.hpp"

#include "workers/http_rules.hpp"
#include "workers/json_reader.hpp"

namespace katana::claude {
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

bus::StopReason stop_reason(std::string_view name) {
  if (name == "end_turn") return bus::StopReason::End;
  if (name == "max_tokens" || name == "model_context_window_exceeded") return bus::StopReason::Length;
  if (name == "stop_sequence") return bus::StopReason::StopSequence;
  if (name == "refusal") return bus::StopReason::Filtered;  // by a classifier, in mid-stream
  return bus::StopReason::Other;                            // tool_use, pause_turn, and what may yet come
}

/// The API counts cached parts of the prompt apart; we count the prompt as a whole.
class StreamDecoder final : public workers::Decoder {
 public:
  explicit StreamDecoder(json::Reader& reader) : reader_(reader) {}

  Attempted<Step> read(const SseEvent& event, Answer& answer) override {
    if (event.name == "ping") return Step::Ping;
    json::Element doc;
    if (const auto error = reader_.read(event.data).get(doc)) return malformed(event.name, error);
    std::string_view kind = event.name;
    if (kind.empty()) {
      if (const auto error = doc["type"].get_string().get(kind)) return malformed("without a name", error);
    }
    if (kind == "content_block_delta") return delta(doc, answer);
    if (kind == "message_delta") return message_delta(doc, answer);
    if (kind == "message_start") return message_start(doc, answer);
    if (kind == "content_block_start") return block_start(doc, answer);
    if (kind == "message_stop") {
      if (!answer.stop) answer.stop = bus::StopReason::Other;
      return Step::Done;
    }
    if (kind == "error") return error_event(doc);
    return kind == "ping" ? Step::Ping : Step::Work;
  }

 private:
  static Attempted<Step> delta(const json::Element& doc, Answer& answer) {
    json::Object delta;
    if (const auto error = doc["delta"].get_object().get(delta))
      return malformed("content_block_delta", error);
    std::string_view type;
    if (const auto error = delta["type"].get_string().get(type))
      return malformed("content_block_delta", error);
    if (type != "text_delta") return Step::Work;  // thinking, its signature, citations, a tool's input
    std::string_view text;
    if (const auto error = delta["text"].get_string().get(text))
      return malformed("content_block_delta", error);
    json::append(answer.text, text);
    return Step::Work;
  }

  static Attempted<Step> block_start(const json::Element& doc, Answer& answer) {
    json::Object block;
    if (const auto error = doc["content_block"].get_object().get(block)) {
      return malformed("content_block_start", error);
    }
    if (json::string_or_empty(block["type"]) == "text")
      json::append(answer.text, json::string_or_empty(block["text"]));
    return Step::Work;
  }

  Attempted<Step> message_start(const json::Element& doc, Answer& answer) {
    json::Object message;
    if (const auto error = doc["message"].get_object().get(message)) return malformed("message_start", error);
    answer.id = json::string_or_empty(message["id"]);
    answer.model = json::string_or_empty(message["model"]);
    json::Object usage;
    if (message["usage"].get_object().get(usage) == simdjson::SUCCESS) book(usage, answer);
    return Step::Work;
  }

  Attempted<Step> message_delta(const json::Element& doc, Answer& answer) {
    json::Object delta;
    if (const auto error = doc["delta"].get_object().get(delta)) return malformed("message_delta", error);
    if (const auto name = json::string_or_empty(delta["stop_reason"]); !name.empty())
      answer.stop = stop_reason(name);
    json::Object usage;
    if (doc["usage"].get_object().get(usage) == simdjson::SUCCESS) book(usage, answer);
    return Step::Work;
  }

  /// Counts are cumulative, and one that is left out stands as it was.
  void book(const json::Object& usage, Answer& answer) {
    json::count(usage["input_tokens"], uncached_);
    json::count(usage["cache_creation_input_tokens"], answer.usage.cache_write_tokens);
    json::count(usage["cache_read_input_tokens"], answer.usage.cache_read_tokens);
    json::count(usage["output_tokens"], answer.usage.output_tokens);
    answer.usage.input_tokens = uncached_ + answer.usage.cache_write_tokens + answer.usage.cache_read_tokens;
  }

  static Attempted<Step> error_event(const json::Element& doc) {
    json::Object error;
    if (const auto code = doc["error"].get_object().get(error)) return malformed("error", code);
    Failure failure = failure_of(error);
    failure.error.detail = "error in mid-stream: " + failure.error.detail;
    return tl::unexpected(std::move(failure));
  }

  json::Reader& reader_;
  std::uint64_t uncached_ = 0;
};

int status_of(std::string_view type) {
  if (type == "invalid_request_error") return 400;
  if (type == "authentication_error") return 401;
  if (type == "billing_error") return 402;
  if (type == "permission_error") return 403;
  if (type == "not_found_error") return 404;
  if (type == "request_too_large") return 413;
  if (type == "rate_limit_error") return 429;
  if (type == "timeout_error") return 504;
  if (type == "overloaded_error") return 529;
  return 500;  // api_error, and what may yet come
}

}  // namespace

workers::Failure failure_of(const json::Object& error) {
  const std::string_view type = json::string_or_empty(error["type"]);
  std::string detail = workers::quote(type) + ": " + workers::quote(json::string_or_empty(error["message"]));
  json::Object details;
  std::string_view code;
  if (error["details"].get_object().get(details) == simdjson::SUCCESS)
    code = json::string_or_empty(details["error_code"]);
  if (!code.empty()) detail += " (" + workers::quote(code) + ")";
  if (code.find("spend_limit") != std::string_view::npos) return workers::used_up(std::move(detail));
  Failure failure = workers::judge(status_of(type));
  failure.error.detail = std::move(detail);
  return failure;
}

std::unique_ptr<workers::Decoder> make_decoder(workers::json::Reader& reader) {
  return std::make_unique<StreamDecoder>(reader);
}

}  // namespace katana::claude
