// Chat Completions: unnamed data lines that end with [DONE].
#include <algorithm>

#include "openai.hpp"

namespace sandbox {
namespace {

constexpr Field kFields[] = {{"messages", Kind::Array},
                             {"model"},
                             {"audio"},
                             {"frequency_penalty", Kind::Number},
                             {"function_call"},
                             {"functions", Kind::Array},
                             {"logit_bias", Kind::Object},
                             {"logprobs", Kind::Boolean},
                             {"max_completion_tokens"},
                             {"max_tokens"},
                             {"metadata", Kind::Object},
                             {"modalities", Kind::Array},
                             {"moderation"},
                             {"n", Kind::Number},
                             {"parallel_tool_calls", Kind::Boolean},
                             {"prediction"},
                             {"presence_penalty", Kind::Number},
                             {"prompt_cache_key", Kind::String},
                             {"prompt_cache_options"},
                             {"prompt_cache_retention"},
                             {"reasoning_effort"},
                             {"response_format", Kind::Object},
                             {"safety_identifier", Kind::String},
                             {"seed", Kind::Number},
                             {"service_tier", Kind::String},
                             {"stop"},
                             {"store", Kind::Boolean},
                             {"stream", Kind::Boolean},
                             {"stream_options", Kind::Object},
                             {"temperature", Kind::Number},
                             {"tool_choice"},
                             {"tools", Kind::Array},
                             {"top_logprobs", Kind::Number},
                             {"top_p", Kind::Number},
                             {"user", Kind::String},
                             {"verbosity"},
                             {"web_search_options"}};
constexpr std::string_view kRoles[] = {"user", "assistant", "system", "developer", "tool", "function"};

std::string_view finish_reason(std::string_view stop_reason) {
  if (stop_reason == "max_tokens") return "length";
  if (stop_reason == "refusal") return "content_filter";
  return "stop";
}

std::string usage_json(Usage usage) {
  return "{\"prompt_tokens\":" + std::to_string(usage.input) +
         ",\"completion_tokens\":" + std::to_string(usage.output) +
         ",\"total_tokens\":" + std::to_string(usage.input + usage.output) +
         ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{"
         "\"reasoning_tokens\":0,"
         "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}";
}

class Completions : public Dialect {
 public:
  Completions(std::string id, bool include_usage) : id_(std::move(id)), include_usage_(include_usage) {}
  std::string_view provider() const override { return "openai"; }
  std::string headers(const Ask& ask) const override { return openai_headers(ask); }

  void start(const Ask& ask, std::string& out) override {
    opening_ = "data: {\"id\":\"" + id_ +
               "\",\"object\":\"chat.completion.chunk\",\"created\":" + std::to_string(wall_seconds()) +
               ",\"model\":" + to_json(ask.model) +
               ",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[";
    chunk(out, R"({"role":"assistant","content":"","refusal":null})", "null");
  }
  void thinking(std::string_view text, std::string& out) override {
    chunk(out, "{\"reasoning_content\":" + to_json(text) + "}", "null");  // what compatible servers send
  }
  void delta(std::string_view piece, std::string& out) override {
    out += opening_;
    out += "{\"index\":0,\"delta\":{\"content\":";
    append_json(out, piece);
    out += "},\"logprobs\":null,\"finish_reason\":null}]";
    close(out);
  }
  void ping(std::string& out) override { out += ": keepalive\n\n"; }

  void finish(const Ask&, std::string_view, std::string_view stop_reason, Usage usage,
              std::string& out) override {
    chunk(out, "{}", "\"" + std::string(finish_reason(stop_reason)) + "\"");
    if (include_usage_) out += opening_ + "],\"usage\":" + usage_json(usage) + "}\n\n";
    out += "data: [DONE]\n\n";
  }
  void break_off(std::string_view type, std::string_view message, std::string& out) override {
    out += "data: {\"error\":{\"message\":" + to_json(message) + ",\"type\":" + to_json(type) +
           ",\"param\":null,\"code\":null}}\n\n";
  }
  void whole(const Ask& ask, std::string_view text, std::string_view thought, std::string_view stop_reason,
             Usage usage, std::string& out) override {
    out += "{\"id\":\"" + id_ +
           "\",\"object\":\"chat.completion\",\"created\":" + std::to_string(wall_seconds()) +
           ",\"model\":" + to_json(ask.model) +
           ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" + to_json(text);
    if (!thought.empty()) out += ",\"reasoning_content\":" + to_json(thought);
    out += ",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"" +
           std::string(finish_reason(stop_reason)) + "\"}],\"usage\":" + usage_json(usage) +
           ",\"service_tier\":\"default\",\"system_fingerprint\":null}";
  }
  std::string error(const Ask&, int status, std::string_view type, std::string_view message,
                    std::string_view code) const override {
    return openai_error(status, type, message, code);
  }

 private:
  void chunk(std::string& out, std::string_view delta, std::string_view reason) const {
    out += opening_;
    out.append("{\"index\":0,\"delta\":")
        .append(delta)
        .append(",\"logprobs\":null,\"finish_reason\":")
        .append(reason)
        .append("}]");
    close(out);
  }
  void close(std::string& out) const { out += include_usage_ ? ",\"usage\":null}\n\n" : "}\n\n"; }
  std::string id_;
  bool include_usage_;
  std::string opening_;
};

const PartTypes kParts{{"text", "image_url", "input_audio", "file"}, {"text", "refusal"}};

Objection read_messages(Json list, Ask& ask) {
  JsonArray messages;
  if (list.get(messages) != simdjson::SUCCESS || messages.size() == 0) {
    return {"Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages",
            "empty_array"};
  }
  std::size_t index = 0;
  for (const Json message : messages) {
    const std::string where = "messages[" + std::to_string(index++) + "]";
    const std::string_view role = text_of(message, "role");
    if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
      return {"Invalid value: '" + std::string(role) + "'.", where + ".role", "invalid_value"};
    }
    std::string text;
    std::int64_t attachments = 0;
    Objection objection = read_parts(message, kParts, where, text, attachments);
    Json calls;
    if (!objection.why.empty() && !(role == "assistant" && member(message, "tool_calls", calls)))
      return objection;
    ask.input_tokens += static_cast<std::int64_t>(text.size() / 4) + 3;
    if (role == "system" || role == "developer") ask.has_system = true;
    if (role == "user") {
      ++ask.user_turns;
      ask.attachments = attachments;
      ask.last_user_text = std::move(text);
    }
  }
  return {};
}

Objection check(Json body, Ask& ask) {
  if (Objection objection = read_fields(body, kFields, std::size(kFields)); !objection.why.empty())
    return objection;
  Json value;
  std::string_view text;
  if (!member(body, "model", value) || value.get(text) != simdjson::SUCCESS) {
    return {"you must provide a model parameter", "model", "missing_required_parameter"};
  }
  ask.model = text;
  if (!member(body, "messages", value))
    return {"Missing required parameter: 'messages'.", "messages", "missing_required_parameter"};
  if (Objection objection = read_messages(value, ask); !objection.why.empty()) return objection;
  for (const std::string_view cap : {"max_tokens", "max_completion_tokens"}) {
    if (!member(body, cap, value) || value.is_null()) continue;
    if (ask.max_tokens != 0) {
      return {"Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
              "max_tokens", "invalid_parameter"};
    }
    if (Objection objection = read_cap(body, cap, 1, ask); !objection.why.empty()) return objection;
  }
  if (ask.input_tokens > kContextTokens) {
    return {"This model's maximum context length is " + std::to_string(kContextTokens) +
                " tokens. However, your messages resulted in " + std::to_string(ask.input_tokens) +
                " tokens. Please reduce the length of the messages.",
            "messages", "context_length_exceeded"};
  }
  if (Objection objection = read_sampling(body); !objection.why.empty()) return objection;
  ask.stream = flag_of(body, "stream");
  if (member(body, "stream_options", value) && !value.is_null()) {
    if (!ask.stream) {
      return {"The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options",
              "invalid_parameter"};
    }
    ask.include_usage = flag_of(value, "include_usage");
  }
  return {};
}

}  // namespace

std::unique_ptr<Dialect> chat_dialect(std::string id, bool include_usage) {
  return std::make_unique<Completions>(std::move(id), include_usage);
}

void Providers::chat(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  auto dialect = chat_dialect("", false);
  Json body;
  if (!admit(connection, request, ask, *dialect, "chat", body)) return;
  if (const Objection objection = check(body, ask); !objection.why.empty()) {
    refuse(connection, ask, *dialect, 400, "invalid_request_error", objection.why, objection.code,
           objection.param);
    return;
  }
  if (!any_model &&
      std::find(std::begin(kOpenAiModels), std::end(kOpenAiModels), ask.model) == std::end(kOpenAiModels)) {
    refuse(connection, ask, *dialect, 404, "invalid_request_error",
           "The model `" + ask.model + "` does not exist or you do not have access to it.",
           "model_not_found");
    return;
  }
  const bool include_usage = ask.include_usage;
  answer(connection, request, std::move(ask), chat_dialect(next_id("chatcmpl-"), include_usage));
}

}  // namespace sandbox
