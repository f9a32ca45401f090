#include "workers/conversation.hpp"

#include <algorithm>
#include <cstdint>

#include "common/core/text.hpp"

namespace katana::workers {

Result<Conversation> Conversation::of(const bus::Job& job) {
  Conversation out;
  out.bytes_ = job.system.size();
  out.turns_.reserve(job.turns.size());
  for (const bus::Turn& turn : job.turns) {
    if (text::trim(turn.text).empty() && turn.attachments.empty()) continue;
    if (out.turns_.empty() && turn.speaker == bus::Speaker::Assistant) continue;
    out.turns_.push_back(&turn);
    out.bytes_ += turn.text.size();
    for (const bus::Attachment& attachment : turn.attachments)
      out.bytes_ += attachment.size;
  }
  if (out.turns_.empty()) return fail(Code::Rejected, "the conversation holds no text of the user");
  if (out.turns_.back()->speaker != bus::Speaker::User)
    return fail(Code::Rejected, "the last turn isn't the user's");
  return out;
}

Message Conversation::next() {
  const std::size_t from = at_;
  while (at_ < turns_.size() && turns_[at_]->speaker == turns_[from]->speaker)
    ++at_;
  return Message(turns_).subspan(from, at_ - from);
}

bool has_files(Message message) {
  return std::any_of(message.begin(), message.end(),
                     [](const bus::Turn* turn) { return !turn->attachments.empty(); });
}

bool has_text(Message message) {
  return std::any_of(message.begin(), message.end(),
                     [](const bus::Turn* turn) { return !text::trim(turn->text).empty(); });
}

std::size_t expected_size(const Conversation& conversation) {
  constexpr std::size_t kForm = 512;
  return conversation.bytes() + conversation.bytes() / 2 + kForm;
}

void write_text(Message message, JsonWriter& out) {
  out.begin_text();
  bool first = true;
  for (const bus::Turn* turn : message) {
    if (text::trim(turn->text).empty()) continue;
    if (!first) out.text("\n\n");
    out.text(turn->text);
    first = false;
  }
  out.end_text();
}

Result<std::string_view> bytes_of(const bus::Attachment& attachment, const Blobs& blobs) {
  const auto found = blobs.find(attachment.sha256);
  if (found == blobs.end()) return fail(Code::Internal, "attachment " + attachment.sha256 + " wasn't pulled");
  return std::string_view(*found->second);
}

bool is_image(std::string_view type) {
  return type == "image/jpeg" || type == "image/png" || type == "image/gif" || type == "image/webp";
}

bool is_pdf(std::string_view type) {
  return type == "application/pdf";
}

bool is_text(std::string_view type) {
  return type.substr(0, 5) == "text/" || type == "application/json" || type == "application/xml" ||
         type == "application/x-yaml" || type == "application/toml";
}

std::string inline_text(const bus::Attachment& attachment, std::string_view bytes) {
  const std::string name = text::one_line(attachment.name.empty() ? "file" : attachment.name);
  return "[" + name + "]\n" + text::sanitize(bytes) + "\n[end of " + name + "]";
}

std::string base64(std::string_view bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= have ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string data_url(std::string_view type, std::string_view bytes) {
  return "data:" + std::string(type) + ";base64," + base64(bytes);
}

std::string join_url(std::string_view base, std::string_view path) {
  while (!base.empty() && base.back() == '/')
    base.remove_suffix(1);
  return std::string(base) + std::string(path);
}

}  // namespace katana::workers
