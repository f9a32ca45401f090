// The Messages API.
#include <algorithm>
#include <array>
#include <ctime>

#include "provider.hpp"
#include "text.hpp"

namespace sandbox {
namespace {

constexpr Field kFields[] = {{"model"},
                             {"max_tokens"},
                             {"messages", Kind::Array},
                             {"cache_control"},
                             {"container"},
                             {"diagnostics"},
                             {"inference_geo", Kind::String},
                             {"metadata", Kind::Object},
                             {"output_config", Kind::Object},
                             {"service_tier", Kind::String},
                             {"speed"},
                             {"stop_sequences", Kind::Array},
                             {"stream", Kind::Boolean},
                             {"system"},
                             {"thinking", Kind::Object},
                             {"tool_choice"},
                             {"tools", Kind::Array},
                             {"user_profile_id"},
                             {"workspace_id"},
                             {"context_management"},
                             {"mcp_servers", Kind::Array},
                             {"betas", Kind::Array}};
constexpr Field kOldFields[] = {
    {"temperature", Kind::Number}, {"top_p", Kind::Number}, {"top_k", Kind::Number}};
constexpr std::string_view kBlocks[] = {"text",
                                        "image",
                                        "document",
                                        "tool_use",
                                        "tool_result",
                                        "thinking",
                                        "redacted_thinking",
                                        "search_result",
                                        "server_tool_use",
                                        "web_search_tool_result",
                                        "web_fetch_tool_result",
                                        "code_execution_tool_result",
                                        "bash_code_execution_tool_result",
                                        "text_editor_code_execution_tool_result",
                                        "tool_search_tool_result",
                                        "container_upload"};

template <std::size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string rfc3339(std::int64_t seconds) {
  std::array<char, 32> text{};
  const std::time_t when = seconds;
  std::tm parts{};
  gmtime_r(&when, &parts);
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string usage_json(Usage usage) {
  return "{\"input_tokens\":" + std::to_string(usage.input) +
         ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0," +
         "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},\"output_"
         "tokens\":" +
         std::to_string(usage.output) + ",\"service_tier\":\"standard\"}";
}

std::string_view type_of_status(int status) {
  switch (status) {
    case 400:
      return "invalid_request_error";
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 529:
      return "overloaded_error";
    default:
      return "api_error";
  }
}

void event(std::string& out, std::string_view name, std::string_view data) {
  out.append("event: ").append(name).append("\ndata: ").append(data).append("\n\n");
}

class Messages : public Dialect {
 public:
  explicit Messages(std::string id) : id_(std::move(id)) {}
  std::string_view provider() const override { return "anthropic"; }

  std::string headers(const Ask& ask) const override {
    const std::int64_t now = wall_seconds();
    if (now != stamped_) {  // the same for every request of this second
      stamped_ = now;
      const std::string reset = rfc3339(now + 60);
      stamp_.clear();
      for (const std::string_view kind : {"requests", "tokens", "input-tokens", "output-tokens"}) {
        const std::string name = "anthropic-ratelimit-" + std::string(kind);
        stamp_ +=
            name + "-limit: 4000\r\n" + name + "-remaining: 3999\r\n" + name + "-reset: " + reset + "\r\n";
      }
    }
    return "request-id: " + ask.id +
           "\r\nanthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n" + stamp_;
  }

  void start(const Ask& ask, std::string& out) override {
    event(out, "message_start",
          "{\"type\":\"message_start\",\"message\":{\"id\":\"" + id_ +
              "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":" + to_json(ask.model) +
              ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":" +
              usage_json({ask.input_tokens, 1}) + "}}");
    if (!ask.thinks) open_text(out);
    ping(out);
  }

  void thinking(std::string_view text, std::string& out) override {
    event(
        out, "content_block_start",
        R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})");
    event(
        out, "content_block_delta",
        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":" +
            to_json(text) + "}}");
    event(
        out, "content_block_delta",
        R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2FuZGJveA=="}})");
    event(out, "content_block_stop", R"({"type":"content_block_stop","index":0})");
    index_ = 1;
    open_text(out);
  }

  void delta(std::string_view piece, std::string& out) override {
    out += "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    append_number(out, index_);
    out += ",\"delta\":{\"type\":\"text_delta\",\"text\":";
    append_json(out, piece);
    out += "}}\n\n";
  }

  void ping(std::string& out) override { event(out, "ping", R"({"type": "ping"})"); }

  void finish(const Ask&, std::string_view, std::string_view stop_reason, Usage usage,
              std::string& out) override {
    event(out, "content_block_stop",
          "{\"type\":\"content_block_stop\",\"index\":" + std::to_string(index_) + "}");
    event(out, "message_delta",
          "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" + to_json(stop_reason) +
              ",\"stop_sequence\":null},\"usage\":{\"input_tokens\":" + std::to_string(usage.input) +
              ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":" +
              std::to_string(usage.output) + "}}");
    event(out, "message_stop", R"({"type":"message_stop"})");
  }

  void break_off(std::string_view type, std::string_view message, std::string& out) override {
    event(out, "error",
          "{\"type\":\"error\",\"error\":{\"type\":" + to_json(type) + ",\"message\":" + to_json(message) +
              "}}");
  }

  void whole(const Ask& ask, std::string_view text, std::string_view thought, std::string_view stop_reason,
             Usage usage, std::string& out) override {
    out += "{\"id\":\"" + id_ +
           "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":" + to_json(ask.model) +
           ",\"content\":[";
    if (!thought.empty())
      out += "{\"type\":\"thinking\",\"thinking\":" + to_json(thought) + ",\"signature\":\"c2FuZGJveA==\"},";
    out += "{\"type\":\"text\",\"text\":" + to_json(text) + "}],\"stop_reason\":" + to_json(stop_reason) +
           ",\"stop_sequence\":null,\"usage\":" + usage_json(usage) + "}";
  }

  std::string error(const Ask& ask, int status, std::string_view type, std::string_view message,
                    std::string_view code) const override {
    std::string out =
        "{\"type\":\"error\",\"error\":{\"type\":" + to_json(type.empty() ? type_of_status(status) : type) +
        ",\"message\":" + to_json(message);
    if (!code.empty()) out += ",\"details\":{\"error_code\":" + to_json(code) + "}";
    return out + "},\"request_id\":" + to_json(ask.id) + "}";
  }

 private:
  void open_text(std::string& out) const {
    event(out, "content_block_start",
          "{\"type\":\"content_block_start\",\"index\":" + std::to_string(index_) +
              ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}");
  }
  std::string id_;
  int index_ = 0;
  static inline std::int64_t stamped_ = 0;
  static inline std::string stamp_;
};

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

/// What is wrong with a cache mark, if `holder` has one; empty: nothing.
std::string read_cache_mark(Json holder, const std::string& where) {
  Json mark;
  if (!member(holder, "cache_control", mark) || mark.is_null()) return {};
  const std::string here = where + "cache_control";
  if (!mark.is_object()) return here + ": Input should be an object";
  if (text_of(mark, "type") != "ephemeral")
    return here + ".type: Input tag does not match any of the expected tags: 'ephemeral'";
  Json ttl;
  std::string_view text;
  if (member(mark, "ttl", ttl) && (ttl.get(text) != simdjson::SUCCESS || (text != "5m" && text != "1h")))
    return here + ".ttl: Input should be '5m' or '1h'";
  return {};
}

/// What is wrong with one message's content; empty: nothing. Collects text and attachments.
std::string read_content(Json message, const std::string& where, std::string& text,
                         std::int64_t& attachments) {
  Json content;
  if (!member(message, "content", content)) return where + ".content: Field required";
  std::string_view plain;
  if (content.get(plain) == simdjson::SUCCESS) {
    text = plain;
    if (plain.empty()) return where + ".content: text content must be non-empty";
    return blank(plain) ? where + ".content: text content blocks must contain non-whitespace text"
                        : std::string();
  }
  JsonArray blocks;
  if (content.get(blocks) != simdjson::SUCCESS)
    return where + ".content: Input should be a valid string or array";
  if (blocks.size() == 0) return where + ".content: at least one block is required";
  std::size_t index = 0;
  for (const Json block : blocks) {
    const std::string here = where + ".content." + std::to_string(index++);
    const std::string_view type = text_of(block, "type");
    if (!among(kBlocks, type))
      return here + ".type: Input tag '" + std::string(type) + "' is not one of the expected tags";
    if (std::string error = read_cache_mark(block, here + "."); !error.empty()) return error;
    if (type == "text") {
      if (text_of(block, "text").empty()) return here + ".text: text content blocks must be non-empty";
      if (blank(text_of(block, "text")))
        return here + ".text: text content blocks must contain non-whitespace text";
      if (!text.empty()) text += '\n';
      text += text_of(block, "text");
    } else if (type == "image" || type == "document") {
      Json source;
      if (!member(block, "source", source)) return here + ".source: Field required";
      ++attachments;
    }
  }
  return {};
}

std::string read_messages(Json list, Ask& ask) {
  JsonArray messages;
  if (list.get(messages) != simdjson::SUCCESS) return "messages: Input should be a valid array";
  if (messages.size() == 0) return "messages: at least one message is required";
  std::size_t index = 0;
  bool last_is_user = false;
  for (const Json message : messages) {
    const std::string where = "messages." + std::to_string(index);
    const std::string_view role = text_of(message, "role");
    if (role != "user" && role != "assistant") {
      return where + ".role: Input should be 'user' or 'assistant'";
    }
    if (index == 0 && role != "user") return "messages: first message must use the \"user\" role";
    JsonObject fields;
    if (message.get(fields) != simdjson::SUCCESS) return where + ": Input should be an object";
    for (const auto field : fields) {
      if (field.key != "role" && field.key != "content")
        return where + "." + std::string(field.key) + ": Extra inputs are not permitted";
    }
    std::string text;
    std::int64_t attachments = 0;
    if (std::string error = read_content(message, where, text, attachments); !error.empty()) return error;
    ask.input_tokens += static_cast<std::int64_t>(text.size() / 4) + 3;
    last_is_user = role == "user";
    if (last_is_user) {
      ++ask.user_turns;
      ask.attachments = attachments;
      ask.last_user_text = std::move(text);
    }
    ++index;
  }
  return {};
}

/// What the real service would find wrong with the body; empty: nothing.
std::string check(Json body, bool new_version, Ask& ask) {
  JsonObject fields;
  if (body.get(fields) != simdjson::SUCCESS) return "Input should be an object";
  for (const auto field : fields) {
    const Field* row = find_field(kFields, std::size(kFields), field.key);
    if (row == nullptr && !new_version) row = find_field(kOldFields, std::size(kOldFields), field.key);
    if (row == nullptr) return std::string(field.key) + ": Extra inputs are not permitted";
    if (!field.value.is_null() && !is_a(field.value, row->kind))
      return std::string(field.key) + ": Input should be a valid " + std::string(to_string(row->kind));
  }
  if (std::string error = read_cache_mark(body, ""); !error.empty()) return error;
  if (const double t = real_of(body, "temperature"); t < 0 || t > 1)
    return "temperature: Input should be between 0 and 1";
  Json value;
  std::string_view text;
  if (!member(body, "model", value)) return "model: Field required";
  if (value.get(text) != simdjson::SUCCESS || text.empty()) return "model: Input should be a valid string";
  ask.model = text;
  if (!member(body, "max_tokens", value)) return "max_tokens: Field required";
  if (value.get(ask.max_tokens) != simdjson::SUCCESS || ask.max_tokens < 1) {
    return "max_tokens: Input should be greater than or equal to 1";
  }
  if (ask.max_tokens > kMaxOutputTokens) {
    return "max_tokens: " + std::to_string(ask.max_tokens) + " > " + std::to_string(kMaxOutputTokens) +
           ", which is the maximum allowed number of output tokens for " + ask.model;
  }
  if (!member(body, "messages", value)) return "messages: Field required";
  if (std::string error = read_messages(value, ask); !error.empty()) return error;
  if (member(body, "stream", value) && value.get(ask.stream) != simdjson::SUCCESS)
    return "stream: Input should be a valid boolean";
  if (member(body, "system", value)) {
    ask.has_system = true;
    JsonArray blocks;
    if (value.get(text) == simdjson::SUCCESS) {
      ask.input_tokens += static_cast<std::int64_t>(text.size() / 4);
    } else if (value.get(blocks) == simdjson::SUCCESS) {
      for (const Json block : blocks) {
        if (text_of(block, "type") != "text" || text_of(block, "text").empty())
          return "system.0: text content blocks must be non-empty";
        if (std::string error = read_cache_mark(block, "system.0."); !error.empty()) return error;
        ask.input_tokens += static_cast<std::int64_t>(text_of(block, "text").size() / 4);
      }
    } else {
      return "system: Input should be a valid string or array";
    }
  }
  if (member(body, "thinking", value)) {
    const std::string_view type = text_of(value, "type");
    if (type != "enabled" && type != "disabled" && type != "adaptive")
      return "thinking.type: Input tag is not one of the expected tags";
  }
  if (ask.input_tokens > kContextTokens) {
    return "prompt is too long: " + std::to_string(ask.input_tokens) + " tokens > " +
           std::to_string(kContextTokens) + " maximum";
  }
  return {};
}

}  // namespace

std::unique_ptr<Dialect> messages_dialect(std::string id) {
  return std::make_unique<Messages>(std::move(id));
}

void Providers::messages(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  auto dialect = messages_dialect(next_id("msg_"));
  Json body;
  if (!admit(connection, request, ask, *dialect, "messages", body)) return;
  const std::string_view version = request.header("anthropic-version");
  const bool known = version == "2026-10-21" || version == "2023-06-01" || version == "2023-01-01";
  if (!known) {
    refuse(connection, ask, *dialect, 400, "invalid_request_error",
           version.empty() ? "anthropic-version: header is required"
                           : "anthropic-version: \"" + std::string(version) + "\" is not a valid version");
    return;
  }
  if (const std::string error = check(body, version == "2026-10-21", ask); !error.empty()) {
    refuse(connection, ask, *dialect, 400, "invalid_request_error", error);
    return;
  }
  if (!any_model && !among(kAnthropicModels, ask.model)) {
    refuse(connection, ask, *dialect, 404, "not_found_error", "model: " + ask.model);
    return;
  }
  answer(connection, request, std::move(ask), std::move(dialect));
}

void Providers::count_tokens(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  const auto dialect = messages_dialect("");
  Json body;
  if (!admit(connection, request, ask, *dialect, "count_tokens", body)) return;
  Json list;
  const std::string error =
      member(body, "messages", list) ? read_messages(list, ask) : "messages: Field required";
  if (!error.empty()) {
    refuse(connection, ask, *dialect, 400, "invalid_request_error", error);
    return;
  }
  connection.reply(200, "application/json", "{\"input_tokens\":" + std::to_string(ask.input_tokens) + "}",
                   dialect->headers(ask));
}

}  // namespace sandbox
