#include "watchdog/status/exposition.hpp"

#include <cctype>
#include <map>
#include <optional>

namespace katana::watchdog {
namespace {

struct Family {
  std::string help;
  std::string type;
  std::string samples;
};

std::string_view take_word(std::string_view& s) {
  const auto end = std::min(s.find(' '), s.size());
  const auto word = s.substr(0, end);
  s.remove_prefix(std::min(end + 1, s.size()));
  return word;
}

bool is_name(std::string_view s) {
  if (s.empty() || std::isdigit(static_cast<unsigned char>(s.front()))) return false;
  for (const char c : s)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != ':') return false;
  return true;
}

std::string escape_label(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// Where the label set that opens at `s[0] == '{'` closes; quotes may hold braces.
std::optional<std::size_t> end_of_labels(std::string_view s) {
  bool quoted = false;
  for (std::size_t i = 1; i < s.size(); ++i) {
    if (quoted && s[i] == '\\')
      ++i;
    else if (s[i] == '"')
      quoted = !quoted;
    else if (!quoted && s[i] == '}')
      return i;
  }
  return std::nullopt;
}

/// `own` without the labels that we set: a name may stand only once.
std::string without_ours(std::string_view own) {
  std::string out;
  while (!own.empty()) {
    const auto name_end = own.find('=');
    if (name_end == std::string_view::npos || name_end + 1 >= own.size()) break;
    std::size_t end = name_end + 2;  // behind the opening quote
    while (end < own.size() && own[end] != '"')
      end += own[end] == '\\' ? 2 : 1;
    end = std::min(end + 1, own.size());
    const auto name = own.substr(0, name_end);
    if (name != "component" && name != "instance") out.append(",").append(own.substr(0, end));
    own.remove_prefix(end);
    if (own.starts_with(',')) own.remove_prefix(1);
  }
  return out;
}

/// The sample line with our labels in front, or nothing if it isn't one of `family`.
std::optional<std::string> relabel(std::string_view line, std::string_view family,
                                   const std::string& labels) {
  const auto name_end = line.find_first_of("{ ");
  if (name_end == std::string_view::npos) return std::nullopt;
  const auto name = line.substr(0, name_end);
  if (!is_name(name) || !name.starts_with(family)) return std::nullopt;
  const auto suffix = name.substr(family.size());
  if (!suffix.empty() && suffix != "_bucket" && suffix != "_sum" && suffix != "_count") return std::nullopt;
  std::string_view rest = line.substr(name_end), own;
  if (rest.front() == '{') {
    const auto end = end_of_labels(rest);
    if (!end) return std::nullopt;
    own = rest.substr(1, *end - 1);
    rest.remove_prefix(*end + 1);
  }
  const auto value = rest.find_first_not_of(' ');
  if (value == std::string_view::npos) return std::nullopt;
  std::string out(name);
  out += "{" + labels + without_ours(own);
  out.append("} ").append(rest.substr(value));
  return out + "\n";
}

class Merger {
 public:
  void add(const Exposition& one) {
    const std::string labels =
        "component=\"" + escape_label(one.component) + "\",instance=\"" + escape_label(one.instance) + "\"";
    std::string_view text = one.text;
    current_ = nullptr;
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      line(text.substr(0, end), labels);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& [name, f] : families_) {
      if (f.samples.empty()) continue;
      out.append("# HELP ").append(name).append(" ").append(f.help).append("\n# TYPE ").append(name);
      out.append(" ").append(f.type).append("\n").append(f.samples);
    }
    return out;
  }

 private:
  void line(std::string_view line, const std::string& labels) {
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) {
      const bool is_type = line[2] == 'T';
      line.remove_prefix(7);
      const auto name = take_word(line);
      if (!is_name(name)) return;
      current_name_ = name;
      current_ = &families_[current_name_];
      std::string& slot = is_type ? current_->type : current_->help;
      if (slot.empty()) slot = line;
      if (is_type && slot != line) current_ = nullptr;  // two processes disagree: the first one stands
      return;
    }
    if (line.empty() || line.front() == '#' || current_ == nullptr || current_->type.empty()) return;
    if (auto sample = relabel(line, current_name_, labels)) current_->samples += *sample;
  }

  std::map<std::string, Family> families_;
  Family* current_ = nullptr;
  std::string current_name_;
};

}  // namespace

std::string merge(const std::vector<Exposition>& all) {
  Merger merger;
  for (const auto& one : all)
    merger.add(one);
  return merger.text();
}

}  // namespace katana::watchdog
