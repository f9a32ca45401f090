#include "record.hpp"

#include <array>
#include <unordered_map>

#include <openssl/sha.h>

namespace sandbox {
namespace {

std::size_t weight(const Entry& entry) {
  return sizeof(Entry) + entry.headers.size() + entry.body.size() + entry.path.size();
}

bool is_secret(std::string_view name) {
  return same_ignoring_case(name, "authorization") || same_ignoring_case(name, "x-api-key") ||
         same_ignoring_case(name, "x-telegram-bot-api-secret-token");
}

/// "/bot123:ABC/sendMessage" -> "/bot<token>/sendMessage".
std::string masked_path(std::string_view path) {
  for (const std::string_view start : {"/bot", "/file/bot"}) {
    std::string_view rest = path;
    if (!take_prefix(rest, start)) continue;
    const auto slash = rest.find('/');
    std::string masked(start);
    masked += "<token>";
    if (slash != std::string_view::npos) masked += rest.substr(slash);
    return masked;
  }
  return std::string(path);
}

}  // namespace

std::string fingerprint(std::string_view secret) {
  static std::unordered_map<std::string, std::string> known;  // the same few keys come with every request
  const auto found = known.find(std::string(secret));
  if (found != known.end()) return found->second;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), digest.data());
  std::string hex;
  for (int i = 0; i < 8; ++i) {
    hex += "0123456789abcdef"[digest[static_cast<std::size_t>(i)] >> 4];
    hex += "0123456789abcdef"[digest[static_cast<std::size_t>(i)] & 15];
  }
  if (known.size() < 1000) known.emplace(secret, hex);
  return hex;
}

std::uint64_t Record::begin(const Request& request) {
  if (!on_) return 0;
  Entry& entry = entries_.emplace_back();
  entry.number = next_++;
  entry.at = request.received;
  entry.method = request.method;
  entry.path = masked_path(request.path);
  if (!request.query.empty()) entry.path.append("?").append(request.query);
  for (const Header& header : request.headers) {
    entry.headers.append(header.name).append(": ");
    if (is_secret(header.name)) {
      std::string_view value = header.value;
      if (take_prefix(value, "Bearer ")) entry.headers += "Bearer ";
      entry.headers.append("sha256:").append(fingerprint(value));
    } else {
      entry.headers += header.value;
    }
    entry.headers += '\n';
  }
  entry.body = request.body;
  entry.body_bytes = request.body.size();
  entry.outcome = "waiting";
  bytes_ += weight(entry);
  while (entries_.size() > 1 && (entries_.size() > max_entries_ || bytes_ > max_bytes_)) {
    bytes_ -= weight(entries_.front());
    entries_.pop_front();
  }
  return entries_.back().number;
}

Entry* Record::find(std::uint64_t number) {
  if (entries_.empty() || number < entries_.front().number || number > entries_.back().number) return nullptr;
  return &entries_[number - entries_.front().number];
}

void Record::clear() {
  entries_.clear();
  bytes_ = 0;
}

}  // namespace sandbox
