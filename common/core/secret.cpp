#include "common/core/secret.hpp"

#include <algorithm>

namespace katana {
namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool token_char(char c) {
  return digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
}

}  // namespace

std::string mask(std::string_view secret) {
  const auto colon = secret.find(':');
  if (colon != std::string_view::npos && colon >= 3 && secret.size() - colon > 6) {
    return std::string(secret.substr(0, 3)) + "...:" + std::string(secret.substr(secret.size() - 3));
  }
  if (secret.size() >= 12) {
    return std::string(secret.substr(0, 3)) + "..." + std::string(secret.substr(secret.size() - 3));
  }
  return "***";
}

std::string Secret::masked() const {
  return mask(value_);
}

bool Secret::matches(std::string_view given) const {
  if (value_.empty()) return false;
  // Over the given text's length, which is the asker's own; volatile, so that no compiler ends it early.
  volatile unsigned char difference = given.size() == value_.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i)
    difference =
        static_cast<unsigned char>(difference | (static_cast<unsigned char>(given[i]) ^
                                                 static_cast<unsigned char>(value_[i % value_.size()])));
  return difference == 0;
}

bool looks_like_bot_token(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto id = text.substr(0, colon);
  const auto rest = text.substr(colon + 1);
  return id.size() <= 18 && std::all_of(id.begin(), id.end(), digit) && rest.size() >= 20 &&
         std::all_of(rest.begin(), rest.end(), token_char);
}

}  // namespace katana
