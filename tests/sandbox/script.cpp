#include "script.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

namespace sandbox {
namespace {

std::string read_error(Json error, Script& script) {
  script.error_status = static_cast<int>(number_of(error, "status"));
  if (script.error_status < 400 || script.error_status > 599) return "error.status must lie in 400…599";
  script.error_type = text_of(error, "type");
  script.error_code = text_of(error, "code");
  script.error_message = text_of(error, "message", "scripted error");
  script.error_html = flag_of(error, "html");
  Json value;
  const auto header = [&](std::string_view member_name, std::string_view name) {
    if (!member(error, member_name, value)) return;
    std::string_view text;
    script.error_headers +=
        std::string(name) + ": " +
        (value.get(text) == simdjson::SUCCESS ? std::string(text) : simdjson::minify(value)) + "\r\n";
  };
  header("retry_after", "retry-after");
  header("retry_after_ms", "retry-after-ms");
  header("should_retry", "x-should-retry");
  JsonObject headers;
  if (member(error, "headers", value) && value.get(headers) == simdjson::SUCCESS) {
    for (const auto field : headers) {
      std::string_view text;
      if (field.value.get(text) == simdjson::SUCCESS) {
        script.error_headers.append(field.key).append(": ").append(text).append("\r\n");
      }
    }
  }
  return {};
}

/// The name with its colon, in lower case.
std::string name_of(std::string_view line) {
  std::string name(line.substr(0, line.find(':') + 1));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

std::vector<std::string_view> lines_of(std::string_view headers) {
  std::vector<std::string_view> out;
  for (std::size_t end; (end = headers.find("\r\n")) != std::string_view::npos;
       headers.remove_prefix(end + 2))
    out.push_back(headers.substr(0, end + 2));
  return out;
}

}  // namespace

std::string overlaid(const std::string& usual, const std::string& own) {
  std::string out;
  const auto others = lines_of(own);
  for (const std::string_view line : lines_of(usual)) {
    if (std::none_of(others.begin(), others.end(),
                     [&](std::string_view o) { return name_of(o) == name_of(line); }))
      out += line;
  }
  return out + own;
}

std::string read_script(Json spec, Script& script) {
  JsonObject fields;
  if (spec.get(fields) != simdjson::SUCCESS) return "a script is a JSON object";
  script.provider = text_of(spec, "provider", script.provider);
  if (script.provider == "any") script.provider.clear();
  if (!script.provider.empty() && script.provider != "anthropic" && script.provider != "openai") {
    return "provider must be anthropic, openai or any";
  }
  script.match = text_of(spec, "match", script.match);
  script.skip = number_of(spec, "skip", script.skip);
  script.count = number_of(spec, "count", script.count);
  Json value;
  if (member(spec, "answer", value)) script.answer = std::string(text_of(spec, "answer"));
  script.tokens = number_of(spec, "tokens", script.tokens);
  script.token_ms = real_of(spec, "token_ms", script.token_ms);
  script.first_ms = real_of(spec, "first_ms", script.first_ms);
  script.chunk_bytes =
      static_cast<std::size_t>(number_of(spec, "chunk_bytes", static_cast<std::int64_t>(script.chunk_bytes)));
  script.chunk_gap_ms = real_of(spec, "chunk_gap_ms", script.chunk_gap_ms);
  script.pings = number_of(spec, "pings", script.pings);
  script.thinking = text_of(spec, "thinking", script.thinking);
  script.stop_reason = text_of(spec, "stop_reason", script.stop_reason);
  script.end = text_of(spec, "end", script.end);
  script.cut_after = number_of(spec, "cut_after", script.cut_after);
  script.cut_by_reset = flag_of(spec, "cut_by_reset", script.cut_by_reset);
  script.stall_after = number_of(spec, "stall_after", script.stall_after);
  script.stall_pings = flag_of(spec, "stall_pings", script.stall_pings);
  script.broken_json_after = number_of(spec, "broken_json_after", script.broken_json_after);
  script.hang = flag_of(spec, "hang", script.hang);
  if (script.token_ms < 0 || script.first_ms < 0 || script.tokens < 0 || script.tokens > 10'000'000)
    return "a negative or absurd shape";
  if (member(spec, "mid_stream_error", value)) {
    script.error_after = number_of(value, "after", 1);
    script.mid_error_type = text_of(value, "type", "overloaded_error");
    script.mid_error_message = text_of(value, "message", "Overloaded");
  }
  if (member(spec, "error", value)) return read_error(value, script);
  return {};
}

void obey_prompt(std::string_view prompt, Script& script) {
  const auto start = prompt.rfind("[[");
  if (start == std::string_view::npos) return;
  std::string_view words = prompt.substr(start + 2);
  words = words.substr(0, words.find("]]"));
  while (!words.empty()) {
    const auto space = words.find(' ');
    const std::string_view word = words.substr(0, space);
    const auto equals = word.find('=');
    if (equals != std::string_view::npos) {
      const std::string_view key = word.substr(0, equals);
      const std::string value(word.substr(equals + 1));
      if (key == "tokens") script.tokens = std::strtoll(value.c_str(), nullptr, 10);
      if (key == "token_ms") script.token_ms = std::strtod(value.c_str(), nullptr);
      if (key == "first_ms") script.first_ms = std::strtod(value.c_str(), nullptr);
      if (key == "end") script.end = value;
      if (key == "status") {
        script.error_status = static_cast<int>(std::strtol(value.c_str(), nullptr, 10));
        script.error_message = "asked for by the prompt";
      }
    }
    if (space == std::string_view::npos) break;
    words.remove_prefix(space + 1);
  }
  script.tokens = std::min<std::int64_t>(std::max<std::int64_t>(script.tokens, 0), 1'000'000);
}

Script Scripts::take(std::string_view provider, std::string_view last_user_text) {
  for (auto script = waiting_.begin(); script != waiting_.end(); ++script) {
    if (!script->provider.empty() && script->provider != provider) continue;
    if (!script->match.empty() && last_user_text.find(script->match) == std::string_view::npos) continue;
    if (script->skip > 0) {
      --script->skip;
      continue;
    }
    Script taken = *script;
    if (script->count > 0 && --script->count == 0) waiting_.erase(script);
    return taken;
  }
  Script plain = defaults_;
  obey_prompt(last_user_text, plain);
  return plain;
}

}  // namespace sandbox
