#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace katana::gateway::test {

/// Markdown as no one would write it, but from the pieces that people do: words are numbered, so that a test
/// can look for every one of them in what is shown.
class RandomMarkdown {
 public:
  explicit RandomMarkdown(std::uint64_t seed) : random_(seed) {}

  std::string text(std::size_t about) {
    std::string out;
    while (out.size() < about)
      out += block();
    return out;
  }
  /// Anything at all, rich in the characters that mean something.
  std::string noise(std::size_t size) {
    static constexpr char kMarks[] = "*_~`[]()!<>#-+|\\\n\n \t:.1a&;\r";
    std::string out;
    while (out.size() < size) {
      switch (below(12)) {
        case 0:
          out += static_cast<char>(below(256));
          break;
        case 1:
          out += "😀";
          break;
        case 2:
          out += "é";
          break;
        case 3:
          out += "```";
          break;
        case 4:
          out += "\n";
          break;
        default:
          out += kMarks[below(sizeof kMarks - 1)];
          break;
      }
    }
    return out;
  }
  [[nodiscard]] int words() const { return words_; }
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

 private:
  std::string row() {  // one word after the other: the order of operands is the compiler's
    std::string out = "| " + word();
    out += " | " + word();
    return out + " |\n";
  }
  std::string word() { return "w" + std::to_string(words_++) + "x"; }
  std::string phrase(std::size_t most) {
    std::string out;
    for (std::size_t n = 1 + below(most); n > 0; --n) {
      const std::string w = word();
      switch (below(14)) {
        case 0:
          out += "**" + w + "**";
          break;
        case 1:
          out += "*" + w + " " + word() + "*";
          break;
        case 2:
          out += "`" + w + "`";
          break;
        case 3:
          out += "[" + w + "](https://ex.org/a_b)";
          break;
        case 4:
          out += "~~" + w + "~~";
          break;
        case 5:
          out += "😀" + w;
          break;
        default:
          out += w;
          break;
      }
      if (n > 1) out += below(15) == 0 ? "\n" : " ";
    }
    return out;
  }
  std::string block() {
    std::string out;
    switch (below(9)) {
      case 0:
        return "## " + word() + "\n\n";
      case 1:
        out = "```cpp\n";
        for (std::size_t n = below(120); n > 0; --n)
          out += (below(3) == 0 ? "\t\t" : "  ") + word() + ";\n";
        return out + "```\n\n";
      case 2:
        for (std::size_t n = 1 + below(20); n > 0; --n)
          out += (below(3) == 0 ? "  - " : "- ") + phrase(12) + "\n";
        return out + "\n";
      case 3:
        for (std::size_t n = 1 + below(20); n > 0; --n)
          out += "1. " + phrase(12) + "\n";
        return out + "\n";
      case 4:
        out = row() + "|---|--:|\n";
        for (std::size_t n = below(60); n > 0; --n)
          out += row();
        return out + "\n";
      case 5:
        out = "> " + word();
        out += "\n> " + word();
        return out + "\n\n";
      case 6:
        return "---\n\n";
      case 7:
        return phrase(900) + "\n\n";
      default:
        return phrase(60) + "\n\n";
    }
  }
  std::mt19937_64 random_;
  int words_ = 0;
};

}  // namespace katana::gateway::test
