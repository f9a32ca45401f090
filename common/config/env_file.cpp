#include <unistd.h>

#include "common/config/settings.hpp"
#include "common/config/sources.hpp"
#include "common/core/text.hpp"

namespace katana::config {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxLine = 64 << 10;
constexpr std::string_view kFileSuffix = "_FILE";

bool name_start(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
bool name_char(char c) {
  return name_start(c) || (c >= '0' && c <= '9');
}

/// What follows a closing quote: nothing, or a comment.
bool only_comment(std::string_view rest) {
  rest = text::trim(rest);
  return rest.empty() || rest.front() == '#';
}

/// `'as it stands'`: no escapes.
Result<std::string> single_quoted(std::string_view value) {
  const auto end = value.find('\'', 1);
  if (end == std::string_view::npos) return fail(Code::Malformed, "the closing ' is missing");
  if (!only_comment(value.substr(end + 1))) return fail(Code::Malformed, "text after the closing '");
  return std::string(value.substr(1, end - 1));
}

/// `"with \n, \t, \", \\ and \$"`.
Result<std::string> double_quoted(std::string_view value) {
  std::string out;
  for (std::size_t i = 1; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '"') {
      if (!only_comment(value.substr(i + 1))) return fail(Code::Malformed, "text after the closing \"");
      return out;
    }
    if (c != '\\') {
      out += c;
      continue;
    }
    if (++i == value.size()) break;
    switch (value[i]) {
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case '"':
      case '\\':
      case '$':
        out += value[i];
        break;
      default:
        return fail(Code::Malformed, "unknown escape after \\ (known: \\n \\t \\\" \\\\ \\$)");
    }
  }
  return fail(Code::Malformed, "the closing \" is missing");
}

/// Everything up to a ` #` comment, blanks trimmed; `$` and blanks inside stand for themselves.
std::string unquoted(std::string_view value) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '#' && (i == 0 || value[i - 1] == ' ' || value[i - 1] == '\t')) {
      value = value.substr(0, i);
      break;
    }
  }
  return std::string(text::trim(value));
}

struct Entry {
  std::string name, value;
};

/// One line; an empty name means that there is nothing on it.
Result<Entry> parse_line(std::string_view line) {
  if (line.size() > kMaxLine) return fail(Code::Malformed, "longer than 64 KiB");
  if (line.find('\0') != std::string_view::npos || !text::is_valid_utf8(line)) {
    return fail(Code::Malformed, "not UTF-8 text");
  }
  line = text::trim(line);
  if (line.empty() || line.front() == '#') return Entry{};
  if (line.starts_with("export ") || line.starts_with("export\t")) line = text::trim(line.substr(7));
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return fail(Code::Malformed, "no '=' (expected NAME=value)");
  const auto name = text::trim(line.substr(0, equals));
  bool good = !name.empty() && name_start(name.front());
  for (const char c : name)
    good = good && name_char(c);
  if (!good) return fail(Code::Malformed, "no name of letters, digits and _ before the '='");
  const auto value = text::trim(line.substr(equals + 1));
  if (value.starts_with('\'') || value.starts_with('"')) {
    auto text = value.front() == '\'' ? single_quoted(value) : double_quoted(value);
    if (!text) return fail(text.error().code, std::string(name) + ": " + text.error().detail);
    return Entry{std::string(name), std::move(*text)};
  }
  return Entry{std::string(name), unquoted(value)};
}

}  // namespace

Result<Environment> parse_env(std::string_view text, const std::string& name) {
  if (text.size() > kMaxFile) return fail(Code::Malformed, name + ": larger than 1 MiB");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark of some editors
  Environment out;
  std::map<std::string, std::size_t> first_line;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string place = name + " line " + std::to_string(number) + ": ";
    auto entry = parse_line(line);
    if (!entry) return fail(Code::Malformed, place + entry.error().detail);
    if (entry->name.empty()) continue;
    const auto [at, fresh] = first_line.emplace(entry->name, number);
    if (!fresh) {
      return fail(Code::Malformed, place + entry->name + " stands on line " + std::to_string(at->second) +
                                       " already; keep one of them");
    }
    out.emplace(std::move(entry->name), std::move(entry->value));
  }
  return out;
}

Result<Environment> read_env_file(const std::string& path) {
  if (path == "/dev/null")
    return Environment{};  // how a caller says: none, and not the `.env` beside me either
  auto file = read_small_file(path, kMaxFile);
  if (!file) return fail(file.error());
  return parse_env(file->text, path);
}

Environment process_environment() {
  Environment out;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    out.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return out;
}

Environment merged(const Environment& process, const Environment& file) {
  Environment out = process;
  for (const auto& [name, value] : file) {
    const bool is_file_form = name.ends_with(kFileSuffix);
    const std::string other =
        is_file_form ? name.substr(0, name.size() - kFileSuffix.size()) : name + std::string(kFileSuffix);
    if (process.contains(other)) continue;
    out.emplace(name, value);
  }
  return out;
}

}  // namespace katana::config
