#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/json_writer.hpp"
#include "common/core/result.hpp"
#include "workers/provider.hpp"

/// What both providers ask of a conversation, and how files travel in it.
namespace katana::workers {

/// One message as a provider takes it: neighbouring turns of one speaker.
using Message = std::span<const bus::Turn* const>;

/// The turns of a job as a provider takes them: those without content left out, the user's first and last.
/// Rejected when nothing is left to answer. Points into the job.
class Conversation {
 public:
  static Result<Conversation> of(const bus::Job& job);
  /// The next message, or none.
  Message next();
  /// Bytes of text and files, as an estimate of the request's size.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::vector<const bus::Turn*> turns_;
  std::size_t at_ = 0;
  std::size_t bytes_ = 0;
};

bool has_files(Message message);
bool has_text(Message message);
/// What to reserve for the request of a conversation: most text grows little when it is escaped.
std::size_t expected_size(const Conversation& conversation);
/// The message's text as one JSON string: its turns' texts with a blank line between.
void write_text(Message message, JsonWriter& out);

/// The bytes of an attachment, which were pulled before.
Result<std::string_view> bytes_of(const bus::Attachment& attachment, const Blobs& blobs);

bool is_image(std::string_view type);  ///< of the kinds that both providers read
bool is_pdf(std::string_view type);
bool is_text(std::string_view type);

/// A text file as a part of the prompt, under its name.
std::string inline_text(const bus::Attachment& attachment, std::string_view bytes);

std::string base64(std::string_view bytes);
std::string data_url(std::string_view type, std::string_view bytes);

/// `base` and `path` with one slash between.
std::string join_url(std::string_view base, std::string_view path);

}  // namespace katana::workers
