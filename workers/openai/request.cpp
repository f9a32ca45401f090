#include "workers/openai/request.hpp"

#include <algorithm>

#include "workers/conversation.hpp"

namespace katana::openai {
namespace {

/// The Responses API refuses a smaller cap.
constexpr std::uint32_t kSmallestCap = 16;

/// How one API writes the parts of a message.
struct Forms {
  const char* text;  ///< type of a text part
  void (*image)(JsonWriter& out, const std::string& url);
  void (*file)(JsonWriter& out, const std::string& name, const std::string& url);
};

constexpr Forms kResponses{"input_text",
                           [](JsonWriter& out, const std::string& url) {
                             out.key("type").value("input_image").key("image_url").value(url);
                           },
                           [](JsonWriter& out, const std::string& name, const std::string& url) {
                             out.key("type").value("input_file").key("filename").value(name);
                             out.key("file_data").value(url);
                           }};

constexpr Forms kChat{"text",
                      [](JsonWriter& out, const std::string& url) {
                        out.key("type").value("image_url").key("image_url").begin_object();
                        out.key("url").value(url).end_object();
                      },
                      [](JsonWriter& out, const std::string& name, const std::string& url) {
                        out.key("type").value("file").key("file").begin_object();
                        out.key("filename").value(name).key("file_data").value(url).end_object();
                      }};

Result<void> write_file(const bus::Attachment& attachment, const workers::Blobs& blobs, const Forms& forms,
                        JsonWriter& out) {
  const auto bytes = workers::bytes_of(attachment, blobs);
  if (!bytes) return fail(bytes.error());
  out.begin_object();
  if (workers::is_image(attachment.type)) {
    forms.image(out, workers::data_url(attachment.type, *bytes));
  } else if (workers::is_pdf(attachment.type)) {
    forms.file(out, attachment.name.empty() ? "file.pdf" : attachment.name,
               workers::data_url(attachment.type, *bytes));
  } else if (workers::is_text(attachment.type)) {
    out.key("type").value(forms.text).key("text").value(workers::inline_text(attachment, *bytes));
  } else {
    return fail(Code::Rejected, "OpenAI's models can't read files of type " + attachment.type);
  }
  out.end_object();
  return {};
}

Result<void> write_message(workers::Message message, const workers::Blobs& blobs, const Forms& forms,
                           JsonWriter& out) {
  out.begin_object().key("role").value(message.front()->speaker == bus::Speaker::User ? "user" : "assistant");
  out.key("content");
  if (!workers::has_files(message)) {
    workers::write_text(message, out);
  } else {
    out.begin_array();
    if (workers::has_text(message)) {
      out.begin_object().key("type").value(forms.text).key("text");
      workers::write_text(message, out);
      out.end_object();
    }
    for (const bus::Turn* turn : message) {
      for (const bus::Attachment& attachment : turn->attachments) {
        if (auto written = write_file(attachment, blobs, forms, out); !written) return written;
      }
    }
    out.end_array();
  }
  out.end_object();
  return {};
}

/// All messages, into the array that is open.
Result<void> write_messages(workers::Conversation& conversation, const workers::Blobs& blobs,
                            const Forms& forms, JsonWriter& out) {
  for (auto message = conversation.next(); !message.empty(); message = conversation.next()) {
    if (auto written = write_message(message, blobs, forms, out); !written) return written;
  }
  return {};
}

}  // namespace

Result<std::string> responses_body(const bus::Job& job, const workers::Blobs& blobs) {
  auto conversation = workers::Conversation::of(job);
  if (!conversation) return fail(conversation.error());
  JsonWriter out(workers::expected_size(*conversation));
  out.begin_object().key("model").value(job.model).key("stream").value(true).key("store").value(false);
  if (!job.system.empty()) out.key("instructions").value(job.system);
  if (job.max_output_tokens > 0) {
    out.key("max_output_tokens").value(std::uint64_t{std::max(job.max_output_tokens, kSmallestCap)});
  }
  out.key("input").begin_array();
  if (auto written = write_messages(*conversation, blobs, kResponses, out); !written)
    return fail(written.error());
  out.end_array().end_object();
  return out.take();
}

Result<std::string> chat_body(const bus::Job& job, const workers::Blobs& blobs, const ChatDialect& dialect) {
  auto conversation = workers::Conversation::of(job);
  if (!conversation) return fail(conversation.error());
  JsonWriter out(workers::expected_size(*conversation));
  out.begin_object().key("model").value(job.model).key("stream").value(true);
  if (!dialect.no_usage)
    out.key("stream_options").begin_object().key("include_usage").value(true).end_object();
  if (job.max_output_tokens > 0) {
    out.key(dialect.old_cap ? "max_tokens" : "max_completion_tokens")
        .value(std::uint64_t{job.max_output_tokens});
  }
  out.key("messages").begin_array();
  if (!job.system.empty()) {
    out.begin_object().key("role").value("system").key("content").value(job.system).end_object();
  }
  if (auto written = write_messages(*conversation, blobs, kChat, out); !written) return fail(written.error());
  out.end_array().end_object();
  return out.take();
}

}  // namespace katana::openai
