#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/names.hpp"
#include "common/config/settings.hpp"
#include "common/config/sources.hpp"
#include "common/config/values.hpp"
#include "common/core/text.hpp"

namespace katana::config {

inline constexpr std::size_t kMaxValue = 64 << 10;

template <class E>
struct Choice {
  std::string_view word;
  E value;
};

/// Reads settings one by one for one program: what it does not see stays at its default, and each problem
/// becomes one line that names the setting.
class Reader {
 public:
  Reader(Program program, const Environment& env) : program_(program), env_(env) {}

  /// The setting's text, trimmed; nullopt when unset, empty, or not for this program.
  std::optional<std::string> text(std::string_view name) {
    if (!sees(program_, name)) return std::nullopt;
    const auto at = env_.find(std::string(name));
    if (at == env_.end()) return std::nullopt;
    const auto trimmed = text::trim(at->second);
    if (trimmed.empty()) return std::nullopt;
    if (trimmed.size() > kMaxValue || trimmed.find_first_of("\r\n") != std::string_view::npos ||
        !text::is_valid_utf8(trimmed)) {
      problem(name, "must be one line of UTF-8 text, 64 KiB at most");
      return std::nullopt;
    }
    return std::string(trimmed);
  }

  /// A name of the system's, which is no setting: as it stands in the environment, or empty.
  [[nodiscard]] std::string of_system(const std::string& name) const {
    const auto at = env_.find(name);
    return at == env_.end() ? std::string() : at->second;
  }

  std::optional<std::string> secret_text(std::string_view name) {
    if (!sees(program_, name)) return std::nullopt;
    auto found = find_secret(env_, name, warnings);
    if (!found) {
      problem(name, found.error().detail);
      return std::nullopt;
    }
    return std::move(*found);
  }

  /// Parses a setting into place, or notes the problem and leaves the default.
  template <class T, class Parse>
  bool read(std::string_view name, T& into, Parse parse) {
    const auto value = text(name);
    return value && take(name, parse(*value), into);
  }
  template <class Parse>
  bool read_secret(std::string_view name, Secret& into, Parse parse) {
    const auto value = secret_text(name);
    std::string checked;
    if (!value || !take(name, parse(*value), checked)) return false;
    into = Secret(std::move(checked));
    return true;
  }

  template <class E, std::size_t N>
  void choose(std::string_view name, E& into, const Choice<E> (&choices)[N]) {
    const auto value = text(name);
    if (!value) return;
    std::string words;
    for (const auto& choice : choices) {
      if (choice.word == *value) {
        into = choice.value;
        return;
      }
      words += (words.empty() ? "" : ", ") + std::string(choice.word);
    }
    problem(name, shown(*value) + " is not one of " + words);
  }

  bool exists(std::string_view secret_name) const { return has_secret(env_, secret_name); }
  const Environment& env() const { return env_; }
  Program program() const { return program_; }
  /// True for the programs that start the whole, or look at it.
  bool whole() const { return program_ == Program::Up || program_ == Program::Tool; }

  void problem(std::string_view name, const std::string& detail) {
    problems.push_back(std::string(name) + ": " + detail);
  }
  void warn(std::string_view name, const std::string& detail) {
    warnings.push_back(std::string(name) + ": " + detail);
  }

  std::vector<std::string> problems;
  std::vector<std::string> warnings;

 private:
  template <class R, class T>
  bool take(std::string_view name, R parsed, T& into) {
    if (!parsed) {
      problem(name, parsed.error().detail);
      return false;
    }
    into = std::move(*parsed);
    return true;
  }

  Program program_;
  const Environment& env_;
};

/// Against the caller's directory when relative, without `..`, without a slash at its end.
std::string absolute_path(std::string_view path);
/// True for an existing directory.
bool has_directory(const std::string& path);
/// What the users' bot and the alert bot share.
Result<std::string> parse_bot_token(std::string_view text);

// The parts of `load`, in their order: a later one may use what an earlier one has read.
void read_bot(Reader& in, Settings& s);     ///< Telegram, providers, people, conversations (load_bot.cpp)
void read_alerts(Reader& in, Settings& s);  ///< the alert bot, mail, command, URLs (load_alerts.cpp)

}  // namespace katana::config
