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

tl::unexpected<Failure> malformed(simdjson::error_code error) {
  Failure failure;
  failure.error = {Code::Malformed,
                   std::string("chunk of a chat completion: ") + simdjson::error_message(error)};
  return tl::unexpected(std::move(failure));
}

bus::StopReason stop_reason(std::string_view name) {
  if (name == "stop") return bus::StopReason::End;
  if (name == "length") return bus::StopReason::Length;
  if (name == "content_filter") return bus::StopReason::Filtered;
  return bus::StopReason::Other;  // tool_calls and what servers invent
}

/// Chat Completions: unnamed events, all of one form, then `[DONE]`. Usage comes in a last one with no
/// choices.
class ChatDecoder final : public workers::Decoder {
 public:
  explicit ChatDecoder(json::Reader& reader) : reader_(reader) {}

  Attempted<Step> read(const SseEvent& event, Answer& answer) override {
    if (event.data == "[DONE]") return Step::Done;
    json::Element doc;
    if (const auto error = reader_.read(event.data).get(doc)) return malformed(error);
    json::Object chunk;
    if (const auto error = doc.get_object().get(chunk)) return malformed(error);
    json::Object error;  // null in every chunk of some servers
    if (chunk["error"].get_object().get(error) == simdjson::SUCCESS) {
      Failure failure = failure_of(error, 0);
      failure.error.detail = "error in mid-stream: " + failure.error.detail;
      return tl::unexpected(std::move(failure));
    }
    json::Array choices;
    if (chunk["choices"].get_array().get(choices) == simdjson::SUCCESS) {
      for (const json::Element choice : choices)
        read_choice(choice, answer);
    }
    json::Object usage;
    if (chunk["usage"].get_object().get(usage) == simdjson::SUCCESS) book(usage, answer);
    if (answer.model.empty()) answer.model = json::string_or_empty(chunk["model"]);
    if (answer.id.empty()) answer.id = json::string_or_empty(chunk["id"]);
    return Step::Work;
  }

 private:
  void read_choice(const json::Element& choice, Answer& answer) {
    const json::Found delta = choice["delta"];
    json::append(answer.text, json::string_or_empty(delta["content"]));
    if (const auto refusal = json::string_or_empty(delta["refusal"]); !refusal.empty()) {
      json::append(answer.text, refusal);
      refused_ = true;
    }
    const auto reason = json::string_or_empty(choice["finish_reason"]);
    if (!reason.empty()) answer.stop = refused_ ? bus::StopReason::Refusal : stop_reason(reason);
  }

  static void book(const json::Object& usage, Answer& answer) {
    json::count(usage["prompt_tokens"], answer.usage.input_tokens);
    json::count(usage["completion_tokens"], answer.usage.output_tokens);
    json::Object details;
    if (usage["prompt_tokens_details"].get_object().get(details) == simdjson::SUCCESS) {
      json::count(details["cached_tokens"], answer.usage.cache_read_tokens);
    }
  }

  json::Reader& reader_;
  bool refused_ = false;  ///< its words are a refusal; whole only with a finish reason
};

}  // namespace

std::unique_ptr<workers::Decoder> make_chat_decoder(json::Reader& reader) {
  return std::make_unique<ChatDecoder>(reader);
}

}  // namespace katana::openai
