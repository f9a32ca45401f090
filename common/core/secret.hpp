#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace katana {

/// A token, key or password. It prints as its mask, so that it can't reach a log by accident; the characters
/// come out by `reveal()` alone, in the adapter that needs them.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  [[nodiscard]] const std::string& reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  /// `123...:XYZ` for a Telegram token, `sk-...xyz` for a key of 12 characters or more, else `***`.
  [[nodiscard]] std::string masked() const;
  /// Whether somebody gave this one; takes as long wherever they differ. An empty secret matches nothing.
  [[nodiscard]] bool matches(std::string_view given) const;

  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string value_;
};

std::string mask(std::string_view secret);

/// True for `digits:characters`, the shape of a Telegram bot token (35 or so characters of [A-Za-z0-9_-]).
bool looks_like_bot_token(std::string_view text);

}  // namespace katana
