#include "workers/claude/request.hpp"

#include <nlohmann/json.hpp>

#include "workers/conversation.hpp"

namespace katana::claude {
namespace {

using Json = nlohmann::ordered_json;

/// The API demands a cap; a job without one gets what every model of the family can do.
constexpr std::uint32_t kDefaultCap = 4096;
/// Prompts below some 1,000 tokens aren't cached in any case, and a cache written for nothing costs more than
/// none.
constexpr std::size_t kWorthCaching = 4096;

Result<Json> part(const bus::Attachment& attachment, const workers::Blobs& blobs) {
  const auto bytes = workers::bytes_of(attachment, blobs);
  if (!bytes) return fail(bytes.error());
  const auto source = [&] {
    return Json{{"type", "base64"}, {"media_type", attachment.type}, {"data", workers::base64(*bytes)}};
  };
  if (workers::is_image(attachment.type)) return Json{{"type", "image"}, {"source", source()}};
  if (workers::is_pdf(attachment.type)) return Json{{"type", "document"}, {"source", source()}};
  if (workers::is_text(attachment.type)) {
    return Json{{"type", "text"}, {"text", workers::inline_text(attachment, *bytes)}};
  }
  return fail(Code::Rejected, "Claude can't read files of type " + attachment.type);
}

Result<Json> message(const bus::Turn& turn, const workers::Blobs& blobs) {
  Json out{{"role", turn.speaker == bus::Speaker::User ? "user" : "assistant"}};
  if (turn.attachments.empty()) {
    out["content"] = turn.text;
    return out;
  }
  Json parts = Json::array();
  for (const bus::Attachment& attachment : turn.attachments) {
    auto made = part(attachment, blobs);
    if (!made) return fail(made.error());
    parts.push_back(std::move(*made));
  }
  if (!turn.text.empty()) parts.push_back({{"type", "text"}, {"text", turn.text}});
  out["content"] = std::move(parts);
  return out;
}

}  // namespace

Result<std::string> request_body(const bus::Job& job, const workers::Blobs& blobs) {
  const auto turns = workers::tidy(job.turns);
  if (!turns) return fail(turns.error());
  Json body{{"model", job.model},
            {"max_tokens", job.max_output_tokens > 0 ? job.max_output_tokens : kDefaultCap},
            {"stream", true}};
  if (!job.system.empty()) body["system"] = job.system;
  std::size_t size = job.system.size();
  Json messages = Json::array();
  for (const bus::Turn& turn : *turns) {
    auto made = message(turn, blobs);
    if (!made) return fail(made.error());
    messages.push_back(std::move(*made));
    size += turn.text.size();
    for (const bus::Attachment& attachment : turn.attachments)
      size += attachment.size;
  }
  body["messages"] = std::move(messages);
  if (size >= kWorthCaching) body["cache_control"] = {{"type", "ephemeral"}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace katana::claude
