#include "openai.hpp"

#include <algorithm>

namespace sandbox {
namespace {

std::string_view default_type(int status) {
  switch (status) {
    case 400:
    case 401:
    case 403:
    case 404:
      return "invalid_request_error";
    case 429:
      return "requests";
    default:
      return "server_error";
  }
}

std::string_view default_code(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 404:
      return "model_not_found";
    case 429:
      return "rate_limit_exceeded";
    case 503:
      return "server_is_overloaded";
    default:
      return "";
  }
}

}  // namespace

std::string openai_headers(const Ask& ask) {
  return "x-request-id: " + ask.id +
         "\r\nopenai-processing-ms: 1\r\nopenai-version: 2020-10-01\r\n"
         "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: "
         "2000000\r\nx-ratelimit-remaining-requests: 9999\r\n"
         "x-ratelimit-remaining-tokens: 1999000\r\nx-ratelimit-reset-requests: "
         "6ms\r\nx-ratelimit-reset-tokens: 1m0s\r\n";
}

std::string openai_error(int status, std::string_view type, std::string_view message, std::string_view code) {
  const std::string_view the_code = code.empty() ? default_code(status) : code;
  return "{\"error\":{\"message\":" + to_json(message) +
         ",\"type\":" + to_json(type.empty() ? default_type(status) : type) +
         ",\"param\":null,\"code\":" + (the_code.empty() ? "null" : to_json(the_code)) + "}}";
}

Objection read_fields(Json body, const Field* known, std::size_t count) {
  JsonObject fields;
  if (body.get(fields) != simdjson::SUCCESS) return {"The body must be a JSON object.", "", ""};
  for (const auto field : fields) {
    const std::string name(field.key);
    const Field* row = find_field(known, count, name);
    if (row == nullptr) return {"Unknown parameter: '" + name + "'.", name, "unknown_parameter"};
    if (field.value.is_null() || is_a(field.value, row->kind)) continue;
    return {"Invalid type for '" + name + "': expected a " + std::string(to_string(row->kind)) + ".", name,
            "invalid_type"};
  }
  return {};
}

Objection read_cap(Json body, std::string_view name, std::int64_t least, Ask& ask) {
  Json value;
  if (!member(body, name, value) || value.is_null()) return {};
  const std::string said = "'" + std::string(name) + "'";
  if (value.get(ask.max_tokens) != simdjson::SUCCESS)
    return {"Invalid type for " + said + ": expected an integer.", std::string(name), "invalid_type"};
  if (ask.max_tokens < least) {
    return {"Invalid " + said +
                ": integer below minimum value. Expected a value >= " + std::to_string(least) + ".",
            std::string(name), "integer_below_min_value"};
  }
  if (ask.max_tokens > kMaxOutputTokens) {
    return {"Invalid " + said + ": this model supports at most " + std::to_string(kMaxOutputTokens) +
                " completion tokens.",
            std::string(name), "invalid_value"};
  }
  return {};
}

Objection read_sampling(Json body) {
  const std::pair<const char*, double> most[] = {{"temperature", 2}, {"top_p", 1}};
  for (const auto& [name, limit] : most) {
    const double value = real_of(body, name);
    if (value >= 0 && value <= limit) continue;
    return {"Invalid '" + std::string(name) + "': expected a value between 0 and " +
                std::to_string(static_cast<int>(limit)) + ".",
            name, "invalid_value"};
  }
  return {};
}

Objection read_parts(Json message, const PartTypes& types, const std::string& where, std::string& text,
                     std::int64_t& attachments) {
  Json content;
  if (!member(message, "content", content)) {
    return {"Missing required parameter: '" + where + ".content'.", where + ".content",
            "missing_required_parameter"};
  }
  std::string_view plain;
  if (content.get(plain) == simdjson::SUCCESS) {
    text = plain;
    return {};
  }
  JsonArray parts;
  if (content.get(parts) != simdjson::SUCCESS) {
    if (content.is_null()) return {};
    return {"Invalid type for '" + where + ".content': expected a string or an array.", where + ".content",
            "invalid_type"};
  }
  const auto& known = text_of(message, "role") == "assistant" ? types.answering : types.asking;
  std::size_t index = 0;
  for (const Json part : parts) {
    const std::string here = where + ".content[" + std::to_string(index++) + "].type";
    const std::string_view type = text_of(part, "type");
    if (std::find(known.begin(), known.end(), type) == known.end()) {
      std::string supported;
      for (const auto name : known)
        supported.append(supported.empty() ? "'" : ", '").append(name).append("'");
      return {"Invalid value: '" + std::string(type) + "'. Supported values are: " + supported + ".", here,
              "invalid_value"};
    }
    const std::string_view said = text_of(part, "text");
    if (said.empty()) {
      ++attachments;
    } else {
      if (!text.empty()) text += '\n';
      text += said;
    }
  }
  return {};
}

void Providers::models(HttpConnection& connection, const Request& request, bool anthropic) {
  std::string_view key = request.header("authorization");
  const bool bearer = take_prefix(key, "Bearer ");
  if (!good_key(anthropic && !bearer ? request.header("x-api-key") : key)) {
    if (!anthropic) return connection.json(401, openai_error(401, "", "Incorrect API key provided.", ""));
    Ask ask;
    ask.id = next_id("req_");
    refuse(connection, ask, *messages_dialect(""), 401, "authentication_error", "invalid x-api-key");
    return;
  }
  std::string out = anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[";
  const auto add = [&out](std::string_view name, std::string_view more) {
    if (out.back() != '[') out += ',';
    out += "{\"id\":" + to_json(name) + std::string(more) + "}";
  };
  if (anthropic) {
    for (const std::string_view name : kAnthropicModels) {
      add(name, ",\"type\":\"model\",\"display_name\":" + to_json(name) +
                    ",\"created_at\":\"2026-01-01T00:00:00Z\"");
    }
    out += "],\"has_more\":false,\"first_id\":" + to_json(kAnthropicModels[0]) +
           ",\"last_id\":" + to_json(*std::rbegin(kAnthropicModels)) + "}";
  } else {
    for (const std::string_view name : kOpenAiModels)
      add(name, ",\"object\":\"model\",\"created\":1767225600,\"owned_by\":\"openai\"");
    out += "]}";
  }
  connection.json(200, out);
}

}  // namespace sandbox
