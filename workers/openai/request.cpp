#include "workers/openai/request.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "workers/conversation.hpp"

namespace katana::openai {
namespace {

using Json = nlohmann::ordered_json;

/// The Responses API refuses a smaller cap.
constexpr std::uint32_t kSmallestCap = 16;

/// How one API writes the parts of a message.
struct Forms {
  const char* text;  ///< type of a text part
  Json (*image)(std::string url);
  Json (*file)(std::string name, std::string url);
};

constexpr Forms kResponses{
    "input_text",
    [](std::string url) {
      return Json{{"type", "input_image"}, {"image_url", std::move(url)}};
    },
    [](std::string name, std::string url) {
      return Json{{"type", "input_file"}, {"filename", std::move(name)}, {"file_data", std::move(url)}};
    }};

constexpr Forms kChat{
    "text",
    [](std::string url) {
      return Json{{"type", "image_url"}, {"image_url", {{"url", std::move(url)}}}};
    },
    [](std::string name, std::string url) {
      return Json{{"type", "file"}, {"file", {{"filename", std::move(name)}, {"file_data", std::move(url)}}}};
    }};

Result<Json> part(const bus::Attachment& attachment, const workers::Blobs& blobs, const Forms& forms) {
  const auto bytes = workers::bytes_of(attachment, blobs);
  if (!bytes) return fail(bytes.error());
  if (workers::is_image(attachment.type)) return forms.image(workers::data_url(attachment.type, *bytes));
  if (workers::is_pdf(attachment.type)) {
    return forms.file(attachment.name.empty() ? "file.pdf" : attachment.name,
                      workers::data_url(attachment.type, *bytes));
  }
  if (workers::is_text(attachment.type)) {
    return Json{{"type", forms.text}, {"text", workers::inline_text(attachment, *bytes)}};
  }
  return fail(Code::Rejected, "OpenAI's models can't read files of type " + attachment.type);
}

Result<Json> messages(const bus::Job& job, const workers::Blobs& blobs, const Forms& forms) {
  const auto turns = workers::tidy(job.turns);
  if (!turns) return fail(turns.error());
  Json out = Json::array();
  for (const bus::Turn& turn : *turns) {
    const char* role = turn.speaker == bus::Speaker::User ? "user" : "assistant";
    if (turn.attachments.empty()) {
      out.push_back({{"role", role}, {"content", turn.text}});
      continue;
    }
    Json parts = Json::array();
    if (!turn.text.empty()) parts.push_back({{"type", forms.text}, {"text", turn.text}});
    for (const bus::Attachment& attachment : turn.attachments) {
      auto made = part(attachment, blobs, forms);
      if (!made) return fail(made.error());
      parts.push_back(std::move(*made));
    }
    out.push_back({{"role", role}, {"content", std::move(parts)}});
  }
  return out;
}

std::string dump(const Json& body) {
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<std::string> responses_body(const bus::Job& job, const workers::Blobs& blobs) {
  auto input = messages(job, blobs, kResponses);
  if (!input) return fail(input.error());
  Json body{{"model", job.model}, {"stream", true}, {"store", false}};
  if (!job.system.empty()) body["instructions"] = job.system;
  if (job.max_output_tokens > 0) body["max_output_tokens"] = std::max(job.max_output_tokens, kSmallestCap);
  body["input"] = std::move(*input);
  return dump(body);
}

Result<std::string> chat_body(const bus::Job& job, const workers::Blobs& blobs, const ChatDialect& dialect) {
  auto turns = messages(job, blobs, kChat);
  if (!turns) return fail(turns.error());
  Json body{{"model", job.model}, {"stream", true}};
  if (!dialect.no_usage) body["stream_options"] = {{"include_usage", true}};
  if (job.max_output_tokens > 0) {
    body[dialect.old_cap ? "max_tokens" : "max_completion_tokens"] = job.max_output_tokens;
  }
  if (!job.system.empty()) turns->insert(turns->begin(), Json{{"role", "system"}, {"content", job.system}});
  body["messages"] = std::move(*turns);
  return dump(body);
}

}  // namespace katana::openai
