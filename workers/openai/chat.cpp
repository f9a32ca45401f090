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
  if (name == "content_filter") return bus::StopReason::Refusal;
  return bus::StopReason::Other;  // tool_calls and what servers invent
}

/// Chat Completions: unnamed events, all of one form, then `[DONE]`. Usage comes in a last one with no
/// choices.
class ChatDecoder final : public workers::Decoder {
 public:
  explicit ChatDecoder(json::Reader& reader) : reader_(reader) {}

  Attempted<Step> read(const SseEvent& event, Answer& answer) override {
    if (event.data == "[DONE]") return Step::Done;
    json::Document doc;
    if (const auto error = reader_.read(event.data).get(doc)) return malformed(error);
    json::Object chunk;
    if (const auto error = doc.get_object().get(chunk)) return malformed(error);
    for (auto field : chunk) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return malformed(error);
      json::Found<simdjson::ondemand::value> value = field.value();
      if (value.error()) return malformed(value.error());
      if (key == "choices") {
        if (const auto error = choices(value, answer)) return malformed(error);
      } else if (key == "usage") {
        json::Object usage;
        if (value.get_object().get(usage) == simdjson::SUCCESS) book(usage, answer);
      } else if (key == "error") {
        json::Object error;
        if (value.get_object().get(error) != simdjson::SUCCESS)
          continue;  // `null` in every chunk of some servers
        Failure failure = failure_of(error, 0);
        failure.error.detail = "error in mid-stream: " + failure.error.detail;
        return tl::unexpected(std::move(failure));
      } else if (key == "model" && answer.model.empty()) {
        answer.model = json::string_or_empty(value);
      } else if (key == "id" && answer.id.empty()) {
        answer.id = json::string_or_empty(value);
      }
    }
    return Step::Work;
  }

 private:
  template <class Value>
  static simdjson::error_code choices(Value& value, Answer& answer) {
    simdjson::ondemand::array list;
    if (const auto error = value.get_array().get(list)) return error;
    for (auto choice : list) {
      json::Object fields;
      if (const auto error = choice.get_object().get(fields)) return error;
      json::Object delta;
      if (fields["delta"].get_object().get(delta) == simdjson::SUCCESS) {
        json::append(answer.text, json::string_or_empty(delta["content"]));
        if (const auto refusal = json::string_or_empty(delta["refusal"]); !refusal.empty()) {
          json::append(answer.text, refusal);
          answer.stop = bus::StopReason::Refusal;
        }
      }
      const auto reason = json::string_or_empty(fields["finish_reason"]);
      if (!reason.empty() && answer.stop != bus::StopReason::Refusal) answer.stop = stop_reason(reason);
    }
    return simdjson::SUCCESS;
  }

  static void book(json::Object& usage, Answer& answer) {
    json::count(usage["prompt_tokens"], answer.usage.input_tokens);
    json::count(usage["completion_tokens"], answer.usage.output_tokens);
    json::Object details;
    if (usage["prompt_tokens_details"].get_object().get(details) == simdjson::SUCCESS) {
      json::count(details["cached_tokens"], answer.usage.cache_read_tokens);
    }
  }

  json::Reader& reader_;
};

}  // namespace

std::unique_ptr<workers::Decoder> make_chat_decoder(json::Reader& reader) {
  return std::make_unique<ChatDecoder>(reader);
}

}  // namespace katana::openai
