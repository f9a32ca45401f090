#include "workers/conversation.hpp"

#include <array>
#include <cstdint>

#include "common/core/text.hpp"

namespace katana::workers {

Result<std::vector<bus::Turn>> tidy(const std::vector<bus::Turn>& turns) {
  std::vector<bus::Turn> out;
  out.reserve(turns.size());
  for (const bus::Turn& turn : turns) {
    const bool blank = text::trim(turn.text).empty();
    if (blank && turn.attachments.empty()) continue;
    if (out.empty() && turn.speaker == bus::Speaker::Assistant) continue;
    if (out.empty() || out.back().speaker != turn.speaker) {
      out.push_back({turn.speaker, blank ? std::string() : turn.text, turn.attachments});
      continue;
    }
    bus::Turn& last = out.back();
    if (!blank) last.text += last.text.empty() ? turn.text : "\n\n" + turn.text;
    last.attachments.insert(last.attachments.end(), turn.attachments.begin(), turn.attachments.end());
  }
  if (out.empty()) return fail(Code::Rejected, "the conversation holds no text of the user");
  if (out.back().speaker != bus::Speaker::User) return fail(Code::Rejected, "the last turn isn't the user's");
  return out;
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
