#include <algorithm>
#include <mutex>
#include <vector>

#include "common/core/secret.hpp"
#include "common/log/log.hpp"

namespace katana::log {
namespace {

constexpr std::size_t kShortestSecret = 8;
constexpr std::size_t kMostSecrets = 256;
constexpr std::size_t kTokenDigits = 5;       // a bot's id has more
constexpr std::size_t kTokenCharacters = 20;  // what follows its colon has about 35

struct Hidden {
  std::string secret, masked;
};
std::mutex hidden_lock;  // lines come from the loop's thread, the database's, and libraries'
std::vector<Hidden>& hidden() {
  static std::vector<Hidden> list;
  return list;
}

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool token_char(char c) {
  return digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
}

void replace_all(std::string& line, const Hidden& h) {
  for (std::size_t at = 0; (at = line.find(h.secret, at)) != std::string::npos; at += h.masked.size()) {
    line.replace(at, h.secret.size(), h.masked);
  }
}

/// Masks every `digits:characters` that is long enough to be a bot's token.
void mask_tokens(std::string& line) {
  for (std::size_t colon = 0; (colon = line.find(':', colon)) != std::string::npos; ++colon) {
    std::size_t from = colon;
    while (from > 0 && digit(line[from - 1]))
      --from;
    if (colon - from < kTokenDigits) continue;
    std::size_t to = colon + 1;
    while (to < line.size() && token_char(line[to]))
      ++to;
    if (to - colon - 1 < kTokenCharacters) continue;
    const std::string masked = mask(std::string_view(line).substr(from, to - from));
    line.replace(from, to - from, masked);
    colon = from + masked.size() - 1;
  }
}

/// Masks the user and password of a URL: `://***@`.
void mask_url_users(std::string& line) {
  constexpr std::string_view kMark = "://";
  for (std::size_t at = 0; (at = line.find(kMark, at)) != std::string::npos;) {
    at += kMark.size();
    const std::size_t end = std::min(line.find_first_of("/?# \t\"'", at), line.size());
    const std::size_t sign = line.rfind('@', end);
    if (sign != std::string::npos && sign >= at && sign < end) line.replace(at, sign - at, "***");
  }
}

}  // namespace

void hide(std::string_view secret) {
  if (secret.size() < kShortestSecret) return;
  const std::lock_guard guard(hidden_lock);
  auto& list = hidden();
  const bool known =
      std::any_of(list.begin(), list.end(), [&](const Hidden& h) { return h.secret == secret; });
  if (known || list.size() == kMostSecrets) return;
  list.push_back({std::string(secret), mask(secret)});
  // Longest first: a secret that contains another one must go as a whole.
  std::sort(list.begin(), list.end(),
            [](const Hidden& a, const Hidden& b) { return a.secret.size() > b.secret.size(); });
}

std::string redact(std::string_view line) {
  std::string out(line);
  {
    const std::lock_guard guard(hidden_lock);
    for (const Hidden& h : hidden())
      replace_all(out, h);
  }
  mask_tokens(out);
  mask_url_users(out);
  return out;
}

}  // namespace katana::log
