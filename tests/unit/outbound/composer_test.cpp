#include "gateway/outbound/composer.hpp"

#include <gtest/gtest.h>

#include "common/core/text.hpp"
#include "gateway/outbound/fuzz.hpp"
#include "tests/unit/outbound/random_markdown.hpp"

namespace katana::gateway {
namespace {

std::string words(int n) {
  std::string s;
  for (int i = 0; i < n; ++i)
    s += "word" + std::to_string(i) + " ";
  return s;
}

std::vector<std::string> parts_of(std::string_view source, std::string_view footer = {}) {
  Composer c;
  c.append(source);
  c.finish(footer);
  std::vector<std::string> out;
  for (std::size_t k = 0; k < c.count(); ++k) {
    EXPECT_LE(text::utf16_length(c.part(k).text), Composer::kMaxUnits);
    out.push_back(c.part(k).text);
  }
  return out;
}

TEST(Composer, IsEmptyUntilThereIsSomethingToSee) {
  Composer c;
  EXPECT_EQ(c.count(), 0u);
  c.append("\n\n  ");
  EXPECT_EQ(c.count(), 0u);
  c.append("x");
  EXPECT_EQ(c.count(), 1u);
  EXPECT_EQ(c.part(0).text, "x");
  c.clear();
  c.finish("");
  ASSERT_EQ(c.count(), 1u);
  EXPECT_EQ(c.part(0).text, "(no text)");
}

TEST(Composer, HoldsBackHalfACharacter) {
  Composer c;
  c.append("a\xF0\x9F");
  EXPECT_EQ(c.part(0).text, "a");
  c.append("\x98\x80");
  EXPECT_EQ(c.part(0).text, "a😀");
  c.append("\xF0\x9F");
  c.finish("");
  EXPECT_EQ(c.part(0).text, "a😀\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Composer, SplitsAtParagraphsThenLinesThenWords) {
  const std::string paragraph = words(150) + "\n\n";
  for (const std::string& part : parts_of(paragraph + paragraph + paragraph + paragraph + paragraph)) {
    EXPECT_TRUE(part.starts_with("word0 ") && part.ends_with("word149"));
  }
  std::string lines;
  for (int i = 0; i < 300; ++i)
    lines += "line number " + std::to_string(i) + " has words.\n";
  for (const std::string& part : parts_of(lines))
    EXPECT_TRUE(part.starts_with("line") && part.ends_with("words."));
  const auto by_word = parts_of(words(2000));
  ASSERT_GE(by_word.size(), 3u);
  std::string joined;
  for (const std::string& part : by_word)
    joined += part + " ";
  EXPECT_EQ(joined, words(2000));
  EXPECT_GE(parts_of(std::string(10'000, 'x')).size(), 3u);
  std::string emoji;
  for (int i = 0; i < 5000; ++i)
    emoji += "😀";
  for (const std::string& part : parts_of(emoji))
    EXPECT_TRUE(text::is_valid_utf8(part));
}

TEST(Composer, DoesNotCutCodeThatFitsAMessage) {
  std::string code = "```py\n";
  for (int i = 0; i < 100; ++i)
    code += "print('line " + std::to_string(i) + "')\n";
  code += "```\n";
  Composer c;
  c.append(words(300) + "\n\n" + code + "\nafter");
  c.finish("");
  ASSERT_EQ(c.count(), 2u);
  EXPECT_TRUE(c.part(0).text.ends_with("word299"));
  EXPECT_TRUE(c.part(1).text.starts_with("print('line 0')"));
  EXPECT_TRUE(c.part(1).text.ends_with("after"));
}

TEST(Composer, CodeMayFillAMessage) {
  for (const std::size_t units : {3'700U, 3'900U, 4'000U, 4'080U}) {
    SCOPED_TRACE(units);
    std::string body;
    while (body.size() + 20 <= units)
      body += "0123456789012345678\n";
    Composer c;
    c.append("Here it is:\n\n```\n" + body + "```\n\nand that is all.");
    c.finish("");
    std::size_t with_code = 0;
    for (std::size_t k = 0; k < c.count(); ++k)
      with_code += c.part(k).text.find("0123") != std::string::npos ? 1 : 0;
    EXPECT_EQ(with_code, 1u);
  }
}

TEST(Composer, ReopensCodeThatIsLongerThanAMessage) {
  for (const char* open : {"```py\n", "~~~~py\n", "  ```py\n"}) {
    std::string code = open;
    for (int i = 0; i < 600; ++i)
      code += std::string(open[0] == ' ' ? "  " : "") + "  call(" + std::to_string(i) + ")\n";
    code += std::string(open[0] == '~' ? "~~~~" : open[0] == ' ' ? "  ```" : "```") + "\n\n**after**";
    Composer c;
    c.append("Intro:\n\n" + code);
    c.finish("");
    ASSERT_GE(c.count(), 3u) << open;
    EXPECT_EQ(c.part(0).text, "Intro:");
    for (std::size_t k = 1; k < c.count(); ++k) {
      const auto& part = c.part(k);
      ASSERT_FALSE(part.entities.empty());
      EXPECT_EQ(part.entities[0].type, "pre");
      EXPECT_EQ(part.entities[0].language, "py");
      EXPECT_TRUE(part.text.starts_with("  call("))
          << "cut between lines, indentation kept: " << part.text.substr(0, 20);
    }
    EXPECT_TRUE(c.part(c.count() - 1).text.ends_with("after"));
    EXPECT_EQ(c.part(c.count() - 1).entities.back().type, "bold") << "the block was closed again";
  }
}

TEST(Composer, RepeatsATablesHead) {
  std::string table = "| Name | Value |\n|---|---|\n";
  for (int i = 0; i < 150; ++i)
    table += "| n" + std::to_string(i) + " | v |\n";
  const auto parts = parts_of(table);
  ASSERT_GE(parts.size(), 2u);
  for (const std::string& part : parts)
    EXPECT_TRUE(part.starts_with("Name "));
}

TEST(Composer, GoesOnWithOpenEmphasis) {
  Composer c;
  c.append("**" + words(900) + "end** plain");
  c.finish("");
  ASSERT_EQ(c.count(), 2u);
  EXPECT_EQ(c.part(0).entities.at(0).type, "bold");
  EXPECT_EQ(c.part(1).entities.at(0).type, "bold");
  EXPECT_EQ(c.part(1).text.find('*'), std::string::npos);
  EXPECT_TRUE(c.part(1).text.ends_with("end plain"));
}

TEST(Composer, PutsTheFooterUnderTheLastPart) {
  EXPECT_EQ(parts_of("a", "f").front(), "a\n\nf");
  EXPECT_EQ(parts_of("", "f").front(), "f");
  const auto parts = parts_of(words(1500), std::string(1000, 'f'));
  EXPECT_TRUE(parts.back().ends_with("…"));
  EXPECT_FALSE(parts.front().ends_with("…"));
}

TEST(Composer, AssignGoesOnOrBeginsAnew) {
  Composer c;
  c.append("Hello");
  EXPECT_TRUE(c.assign("Hello world"));
  EXPECT_EQ(c.part(0).text, "Hello world");
  EXPECT_FALSE(c.assign("Help"));
  EXPECT_EQ(c.part(0).text, "Help");
}

TEST(Composer, ShowsTheSourceWhereNothingWouldBeSeen) {
  EXPECT_EQ(parts_of("[a]: http://x.y\n").front(), "[a]: http://x.y");
}

TEST(Composer, PropertiesHoldForAnything) {
  test::RandomMarkdown random(7);
  for (int i = 0; i < 120; ++i) {
    const std::string source =
        i % 2 == 0 ? random.noise(random.below(12'000)) : random.text(random.below(20'000));
    const std::string flaw =
        fuzz::check_composer(reinterpret_cast<const std::uint8_t*>(source.data()), source.size());
    ASSERT_EQ(flaw, "") << "round " << i;
  }
}

TEST(Composer, LosesNoWord) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    test::RandomMarkdown random(seed);
    const std::string source = random.text(30'000);
    std::string shown;
    for (const std::string& part : parts_of(source))
      shown += part + "\n";
    std::size_t at = 0;
    for (int w = 0; w < random.words(); ++w) {
      const std::string word = "w" + std::to_string(w) + "x";
      const auto found = shown.find(word, at);
      ASSERT_NE(found, std::string::npos) << word << " of seed " << seed;
      at = found;
    }
  }
}

TEST(Composer, ReadsALongAnswerOnce) {
  // 1 MB in pieces of 10 bytes, shown every 1,000 pieces: quadratic work would take minutes.
  test::RandomMarkdown random(3);
  const std::string source = random.text(1'000'000);
  Composer c;
  std::size_t pieces = 0;
  for (std::size_t at = 0; at < source.size(); at += 10) {
    c.append(std::string_view(source).substr(at, 10));
    if (++pieces % 1000 == 0) {
      EXPECT_LE(c.part(c.count() - 1).text.size(), 4 * Composer::kMaxUnits);
    }
  }
  c.finish("");
  EXPECT_GT(c.count(), 250u);
}

}  // namespace
}  // namespace katana::gateway
