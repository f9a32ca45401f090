// The Responses API: named events with a running sequence number.
#include <algorithm>

#include "openai.hpp"

namespace sandbox {
namespace {

constexpr Field kFields[] = {{"background", Kind::Boolean},
                             {"context_management"},
                             {"conversation"},
                             {"include", Kind::Array},
                             {"input"},
                             {"instructions", Kind::String},
                             {"max_output_tokens"},
                             {"max_tool_calls", Kind::Number},
                             {"metadata", Kind::Object},
                             {"model"},
                             {"moderation"},
                             {"parallel_tool_calls", Kind::Boolean},
                             {"previous_response_id", Kind::String},
                             {"prompt", Kind::Object},
                             {"prompt_cache_key", Kind::String},
                             {"prompt_cache_options"},
                             {"prompt_cache_retention"},
                             {"reasoning", Kind::Object},
                             {"safety_identifier", Kind::String},
                             {"service_tier", Kind::String},
                             {"store", Kind::Boolean},
                             {"stream", Kind::Boolean},
                             {"stream_options", Kind::Object},
                             {"temperature", Kind::Number},
                             {"text", Kind::Object},
                             {"tool_choice"},
                             {"tools", Kind::Array},
                             {"top_logprobs", Kind::Number},
                             {"top_p", Kind::Number},
                             {"truncation", Kind::String},
                             {"user", Kind::String}};
const PartTypes kParts{{"input_text", "input_image", "input_file"}, {"output_text", "refusal"}};
constexpr std::string_view kRoles[] = {"user", "assistant", "system", "developer"};
constexpr std::string_view kItems[] = {"message",
                                       "reasoning",
                                       "function_call",
                                       "function_call_output",
                                       "item_reference",
                                       "file_search_call",
                                       "web_search_call",
                                       "computer_call",
                                       "computer_call_output",
                                       "image_generation_call",
                                       "code_interpreter_call",
                                       "custom_tool_call",
                                       "custom_tool_call_output",
                                       "compaction"};

class Responses : public Dialect {
 public:
  explicit Responses(std::string id)
      : id_(std::move(id)), item_("msg_" + id_.substr(std::min<std::size_t>(5, id_.size()))) {}
  std::string_view provider() const override { return "openai"; }
  std::string headers(const Ask& ask) const override { return openai_headers(ask); }

  void start(const Ask& ask, std::string& out) override {
    model_ = ask.model;
    created_ = wall_seconds();
    const std::string response = response_json("in_progress", "[]", "null", "null", "null");
    event(out, "response.created", "\"response\":" + response);
    event(out, "response.in_progress", "\"response\":" + response);
    if (!ask.thinks) open_message(out);
  }

  void thinking(std::string_view text, std::string& out) override {
    const std::string place = "\"item_id\":\"rs_" + id_ + "\",\"output_index\":0,\"summary_index\":0";
    const std::string part = "{\"type\":\"summary_text\",\"text\":" + to_json(text) + "}";
    event(out, "response.output_item.added",
          "\"output_index\":0,\"item\":{\"id\":\"rs_" + id_ + "\",\"type\":\"reasoning\",\"summary\":[]}");
    event(out, "response.reasoning_summary_part.added",
          place + ",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}");
    event(out, "response.reasoning_summary_text.delta", place + ",\"delta\":" + to_json(text));
    event(out, "response.reasoning_summary_text.done", place + ",\"text\":" + to_json(text));
    event(out, "response.reasoning_summary_part.done", place + ",\"part\":" + part);
    reasoning_ = "{\"id\":\"rs_" + id_ + "\",\"type\":\"reasoning\",\"summary\":[" + part + "]}";
    event(out, "response.output_item.done", "\"output_index\":0,\"item\":" + reasoning_);
    index_ = 1;
    open_message(out);
  }

  void delta(std::string_view piece, std::string& out) override {
    out +=
        "event: response.output_text.delta\ndata: "
        "{\"type\":\"response.output_text.delta\",\"sequence_number\":";
    append_number(out, sequence_++);
    out += ",\"item_id\":\"";
    out += item_;
    out += "\",\"output_index\":";
    append_number(out, index_);
    out += ",\"content_index\":0,\"delta\":";
    append_json(out, piece);
    out += ",\"logprobs\":[]}\n\n";
  }

  void ping(std::string& out) override { out += ": keepalive\n\n"; }

  void finish(const Ask& ask, std::string_view text, std::string_view stop_reason, Usage usage,
              std::string& out) override {
    model_ = ask.model;
    const std::string place =
        "\"item_id\":\"" + item_ + "\",\"output_index\":" + std::to_string(index_) + ",\"content_index\":0";
    const std::string part = part_json(text);
    const bool cut_short = stop_reason == "max_tokens" || stop_reason == "refusal";
    const std::string item = item_json(text, cut_short ? "incomplete" : "completed");
    event(out, "response.output_text.done", place + ",\"text\":" + to_json(text) + ",\"logprobs\":[]");
    event(out, "response.content_part.done", place + ",\"part\":" + part);
    event(out, "response.output_item.done",
          "\"output_index\":" + std::to_string(index_) + ",\"item\":" + item);
    event(out, cut_short ? "response.incomplete" : "response.completed",
          "\"response\":" + final_json(text, stop_reason, usage));
  }

  void break_off(std::string_view type, std::string_view message, std::string& out) override {
    if (type == "response.failed") {
      const std::string error = "{\"code\":\"server_error\",\"message\":" + to_json(message) + "}";
      event(out, "response.failed", "\"response\":" + response_json("failed", "[]", "null", error, "null"));
    } else {
      event(out, "error",
            "\"code\":" + to_json(type) + ",\"message\":" + to_json(message) + ",\"param\":null");
    }
  }

  void whole(const Ask& ask, std::string_view text, std::string_view thought, std::string_view stop_reason,
             Usage usage, std::string& out) override {
    model_ = ask.model;
    created_ = wall_seconds();
    if (!thought.empty()) {
      reasoning_ =
          "{\"id\":\"rs_" + id_ +
          "\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":" + to_json(thought) +
          "}]}";
    }
    out += final_json(text, stop_reason, usage);
  }

  std::string error(const Ask&, int status, std::string_view type, std::string_view message,
                    std::string_view code) const override {
    return openai_error(status, type, message, code);
  }

 private:
  void event(std::string& out, std::string_view name, std::string_view members) {
    out.append("event: ")
        .append(name)
        .append("\ndata: {\"type\":\"")
        .append(name)
        .append("\",\"sequence_number\":");
    append_number(out, sequence_++);
    out.append(",").append(members).append("}\n\n");
  }
  void open_message(std::string& out) {
    event(out, "response.output_item.added",
          "\"output_index\":" + std::to_string(index_) + ",\"item\":{\"id\":\"" + item_ +
              "\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}");
    event(out, "response.content_part.added",
          "\"item_id\":\"" + item_ + "\",\"output_index\":" + std::to_string(index_) +
              ",\"content_index\":0,\"part\":" + part_json(""));
  }
  static std::string part_json(std::string_view text) {
    return "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":" + to_json(text) + "}";
  }
  std::string item_json(std::string_view text, std::string_view status) const {
    return "{\"id\":\"" + item_ + "\",\"type\":\"message\",\"status\":\"" + std::string(status) +
           "\",\"role\":\"assistant\",\"content\":[" + part_json(text) + "]}";
  }
  std::string final_json(std::string_view text, std::string_view stop_reason, Usage usage) const {
    const bool capped = stop_reason == "max_tokens";
    const bool refused = stop_reason == "refusal";
    const std::string_view status = capped || refused ? "incomplete" : "completed";
    const std::string details = capped    ? "{\"reason\":\"max_output_tokens\"}"
                                : refused ? "{\"reason\":\"content_filter\"}"
                                          : "null";
    const std::string counts =
        "{\"input_tokens\":" + std::to_string(usage.input) +
        ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":" + std::to_string(usage.output) +
        ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":" +
        std::to_string(usage.input + usage.output) + "}";
    const std::string output =
        "[" + (reasoning_.empty() ? std::string() : reasoning_ + ",") + item_json(text, status) + "]";
    return response_json(status, output, counts, "null", details);
  }
  std::string response_json(std::string_view status, std::string_view output, std::string_view usage,
                            std::string_view error, std::string_view incomplete) const {
    std::string out = "{\"id\":\"" + id_ +
                      "\",\"object\":\"response\",\"created_at\":" + std::to_string(created_) +
                      ",\"status\":\"";
    out.append(status)
        .append("\",\"background\":false,\"error\":")
        .append(error)
        .append(",\"incomplete_details\":")
        .append(incomplete);
    out += ",\"instructions\":null,\"max_output_tokens\":null,\"metadata\":{},\"model\":" + to_json(model_) +
           ",\"output\":";
    out.append(output);
    out +=
        ",\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":{\"effort\":null,"
        "\"summary\":null},"
        "\"service_tier\":\"default\",\"store\":false,\"temperature\":1.0,\"text\":{\"format\":{\"type\":"
        "\"text\"}},"
        "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":";
    return out.append(usage).append(",\"user\":null}");
  }

  std::string id_;
  std::string item_;
  std::string model_;
  std::string reasoning_;
  std::int64_t created_ = 0;
  std::int64_t sequence_ = 0;
  int index_ = 0;
};

Objection read_input(Json input, Ask& ask) {
  std::string_view plain;
  if (input.get(plain) == simdjson::SUCCESS) {
    ask.last_user_text = plain;
    ask.user_turns = 1;
    ask.input_tokens = static_cast<std::int64_t>(plain.size() / 4) + 3;
    return {};
  }
  JsonArray items;
  if (input.get(items) != simdjson::SUCCESS)
    return {"Invalid type for 'input': expected a string or an array.", "input", "invalid_type"};
  if (items.size() == 0)
    return {"Missing required parameter: 'input'.", "input", "missing_required_parameter"};
  std::size_t index = 0;
  for (const Json item : items) {
    const std::string where = "input[" + std::to_string(index++) + "]";
    const std::string_view type = text_of(item, "type", "message");
    if (std::find(std::begin(kItems), std::end(kItems), type) == std::end(kItems)) {
      return {"Invalid value: '" + std::string(type) + "'.", where + ".type", "invalid_value"};
    }
    if (type != "message") continue;
    const std::string_view role = text_of(item, "role");
    if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
      return {"Invalid value: '" + std::string(role) +
                  "'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
              where + ".role", "invalid_value"};
    }
    std::string text;
    std::int64_t attachments = 0;
    if (Objection objection = read_parts(item, kParts, where, text, attachments); !objection.why.empty())
      return objection;
    ask.input_tokens += static_cast<std::int64_t>(text.size() / 4) + 3;
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
    return {"Missing required parameter: 'model'.", "model", "missing_required_parameter"};
  }
  ask.model = text;
  if (!member(body, "input", value))
    return {"Missing required parameter: 'input'.", "input", "missing_required_parameter"};
  if (Objection objection = read_input(value, ask); !objection.why.empty()) return objection;
  if (ask.input_tokens + static_cast<std::int64_t>(text_of(body, "instructions").size() / 4) >
      kContextTokens) {
    return {"Your input exceeds the context window of this model. Please adjust your input and try again.",
            "input", "context_length_exceeded"};
  }
  if (Objection objection = read_cap(body, "max_output_tokens", 16, ask); !objection.why.empty())
    return objection;
  if (Objection objection = read_sampling(body); !objection.why.empty()) return objection;
  ask.stream = flag_of(body, "stream");
  ask.has_system = !text_of(body, "instructions").empty();
  return {};
}

}  // namespace

std::unique_ptr<Dialect> responses_dialect(std::string id) {
  return std::make_unique<Responses>(std::move(id));
}

void Providers::responses(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  auto dialect = responses_dialect(next_id("resp_"));
  Json body;
  if (!admit(connection, request, ask, *dialect, "responses", body)) return;
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
  answer(connection, request, std::move(ask), std::move(dialect));
}

}  // namespace sandbox
