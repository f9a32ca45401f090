#include "workers/claude/request.hpp"

#include "workers/conversation.hpp"

namespace katana::claude {
namespace {

/// The API demands a cap; a job without one gets what every model of the family can do.
constexpr std::uint64_t kDefaultCap = 4096;
/// Prompts below some 1,000 tokens aren't cached in any case, and a cache written for nothing costs more than
/// none.
constexpr std::size_t kWorthCaching = 4096;

Result<void> write_file(const bus::Attachment& attachment, const workers::Blobs& blobs, JsonWriter& out) {
  const auto bytes = workers::bytes_of(attachment, blobs);
  if (!bytes) return fail(bytes.error());
  const bool image = workers::is_image(attachment.type);
  if (image || workers::is_pdf(attachment.type)) {
    out.begin_object().key("type").value(image ? "image" : "document").key("source").begin_object();
    out.key("type").value("base64").key("media_type").value(attachment.type);
    out.key("data").value(workers::base64(*bytes)).end_object().end_object();
    return {};
  }
  if (!workers::is_text(attachment.type)) {
    return fail(Code::Rejected, "Claude can't read files of type " + attachment.type);
  }
  out.begin_object()
      .key("type")
      .value("text")
      .key("text")
      .value(workers::inline_text(attachment, *bytes))
      .end_object();
  return {};
}

Result<void> write_message(workers::Message message, const workers::Blobs& blobs, JsonWriter& out) {
  out.begin_object().key("role").value(message.front()->speaker == bus::Speaker::User ? "user" : "assistant");
  out.key("content");
  if (!workers::has_files(message)) {
    workers::write_text(message, out);
  } else {
    out.begin_array();
    for (const bus::Turn* turn : message) {
      for (const bus::Attachment& attachment : turn->attachments) {
        if (auto written = write_file(attachment, blobs, out); !written) return written;
      }
    }
    if (workers::has_text(message)) {
      out.begin_object().key("type").value("text").key("text");
      workers::write_text(message, out);
      out.end_object();
    }
    out.end_array();
  }
  out.end_object();
  return {};
}

}  // namespace

Result<std::string> request_body(const bus::Job& job, const workers::Blobs& blobs) {
  auto conversation = workers::Conversation::of(job);
  if (!conversation) return fail(conversation.error());
  JsonWriter out(workers::expected_size(*conversation));
  out.begin_object().key("model").value(job.model);
  out.key("max_tokens").value(job.max_output_tokens > 0 ? job.max_output_tokens : kDefaultCap);
  out.key("stream").value(true);
  if (!job.system.empty()) out.key("system").value(job.system);
  if (conversation->bytes() >= kWorthCaching) {
    out.key("cache_control").begin_object().key("type").value("ephemeral").end_object();
  }
  out.key("messages").begin_array();
  for (auto message = conversation->next(); !message.empty(); message = conversation->next()) {
    if (auto written = write_message(message, blobs, out); !written) return fail(written.error());
  }
  out.end_array().end_object();
  return out.take();
}

}  // namespace katana::claude
