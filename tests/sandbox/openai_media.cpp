// Small parts for voice and pictures: a transcription that says what it got, and a one-pixel image.
#include "openai.hpp"
#include "params.hpp"

namespace sandbox {
namespace {

constexpr std::string_view kPixel =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

}  // namespace

void Providers::transcriptions(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  std::string_view key = request.header("authorization");
  const bool authorized = take_prefix(key, "Bearer ") && good_key(key);
  if (Entry* entry = record_.find(request.record)) {
    entry->call = "transcriptions";
    entry->authorized = authorized;
  }
  const auto fail = [&](int status, std::string_view message) {
    connection.reply(status, "application/json", openai_error(status, "", message, ""), openai_headers(ask));
  };
  if (!authorized) return fail(401, "Incorrect API key provided.");
  Params params;
  std::string why;
  if (!params.read(request, why)) return fail(400, "Could not parse multipart form");
  const Param* file = params.find("file");
  if (file == nullptr || file->kind != Param::Kind::File || file->text.empty())
    return fail(400, "Missing required parameter: 'file'.");
  if (params.text("model").empty()) return fail(400, "you must provide a model parameter");
  const Script script = scripts_.take("openai", "transcription");
  if (script.error_status != 0) {
    return connection.reply(
        script.error_status, "application/json",
        openai_error(script.error_status, script.error_type, script.error_message, script.error_code),
        overlaid(openai_headers(ask), script.error_headers));
  }
  const std::string text =
      script.answer ? *script.answer : "A voice message of " + std::to_string(file->text.size()) + " bytes.";
  if (params.text("response_format") == "text")
    return connection.reply(200, "text/plain", text + "\n", openai_headers(ask));
  connection.reply(200, "application/json",
                   "{\"text\":" + to_json(text) + ",\"usage\":{\"type\":\"duration\",\"seconds\":1}}",
                   openai_headers(ask));
}

void Providers::images(HttpConnection& connection, const Request& request) {
  Ask ask;
  ask.id = next_id("req_");
  const auto dialect = chat_dialect("", false);
  Json body;
  if (!admit(connection, request, ask, *dialect, "images", body)) return;
  const std::string_view prompt = text_of(body, "prompt");
  if (prompt.empty()) {
    refuse(connection, ask, *dialect, 400, "invalid_request_error", "Missing required parameter: 'prompt'.",
           "missing_required_parameter", "prompt");
    return;
  }
  const Script script = scripts_.take("openai", prompt);
  if (script.error_status != 0) {
    return connection.reply(
        script.error_status, "application/json",
        openai_error(script.error_status, script.error_type, script.error_message, script.error_code),
        overlaid(openai_headers(ask), script.error_headers));
  }
  connection.reply(
      200, "application/json",
      "{\"created\":" + std::to_string(wall_seconds()) + ",\"data\":[{\"b64_json\":\"" + std::string(kPixel) +
          "\"}],\"output_format\":\"png\",\"size\":\"1024x1024\",\"usage\":{\"input_tokens\":10,\"output_"
          "tokens\":10,"
          "\"total_tokens\":20,\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":0}}}",
      openai_headers(ask));
}

}  // namespace sandbox
