#include "ansi.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

using Lines = std::vector<std::string>;
constexpr Look kPlain{0, false};

TEST(Columns, CountsWideAndCombining) {
  EXPECT_EQ(columns_of("abc"), 3u);
  EXPECT_EQ(columns_of("é"), 1u);
  EXPECT_EQ(columns_of("e\u0301"), 1u);
  EXPECT_EQ(columns_of("中文"), 4u);
  EXPECT_EQ(columns_of("😀"), 2u);
  EXPECT_EQ(columns_of("│›…"), 3u);
}

TEST(AnsiLines, WrapsAtWords) {
  EXPECT_EQ(ansi_lines("one two three", {}, {7, false}), (Lines{"one two", "three"}));
  EXPECT_EQ(ansi_lines("one two three", {}, {8, false}), (Lines{"one two", "three"}));
  EXPECT_EQ(ansi_lines("one two three", {}, {6, false}), (Lines{"one", "two", "three"}));
  EXPECT_EQ(ansi_lines("a\n\nb", {}, {7, false}), (Lines{"a", "", "b"}));
  EXPECT_EQ(ansi_lines("", {}, {7, false}), (Lines{""}));
  EXPECT_EQ(ansi_lines("one two three", {}, kPlain), (Lines{"one two three"}));
}

TEST(AnsiLines, BreaksWhatIsLongerThanALine) {
  EXPECT_EQ(ansi_lines("abcdefghij", {}, {4, false}), (Lines{"abcd", "efgh", "ij"}));
  EXPECT_EQ(ansi_lines("ab cdefghij", {}, {4, false}), (Lines{"ab", "cdef", "ghij"}));
  EXPECT_EQ(ansi_lines("中文字", {}, {5, false}), (Lines{"中文", "字"}));
}

TEST(AnsiLines, NoLineIsWiderThanTheTerminal) {
  const std::string text =
      "Ein 中文字 satz mit 😀😀 und\tlangen-zusammengesetzten wörtern  und   lücken\n  code";
  for (std::size_t columns = 4; columns < 60; ++columns) {
    for (const std::string& line : ansi_lines(text, {}, {columns, false}))
      EXPECT_LE(columns_of(line), columns) << line;
  }
}

TEST(AnsiLines, ShowsFormatting) {
  const Look color{0, true};
  EXPECT_EQ(ansi_lines("a bc", {{"bold", 2, 1, ""}}, color), (Lines{"a \x1b[0;1mb\x1b[0mc"}));
  EXPECT_EQ(ansi_lines("😀x", {{"italic", 2, 1, ""}}, color), (Lines{"😀\x1b[0;3mx\x1b[0m"}));
  EXPECT_EQ(ansi_lines("x", {{"bold", 0, 1, ""}, {"code", 0, 1, ""}}, color), (Lines{"\x1b[0;1;2mx\x1b[0m"}));
  EXPECT_EQ(ansi_lines("x", {{"bold", 0, 1, ""}}, kPlain), (Lines{"x"}));
}

TEST(AnsiLines, EndsFormattingWithEachLine) {
  EXPECT_EQ(ansi_lines("aa bb", {{"underline", 0, 5, ""}}, {3, true}),
            (Lines{"\x1b[0;4maa\x1b[0m", "\x1b[0;4mbb\x1b[0m"}));
}

TEST(AnsiLines, LinksSayWhereTheyLead) {
  EXPECT_EQ(ansi_lines("see it now", {{"text_link", 4, 2, "https://x.y/"}}, kPlain),
            (Lines{"see it (https://x.y/) now"}));
}

TEST(AnsiLines, CodeKeepsItsSpacesAndQuotesTheirBar) {
  EXPECT_EQ(ansi_lines("x\n  a b\nc", {{"pre", 2, 5, ""}}, kPlain), (Lines{"x", "    a b", "c"}));
  EXPECT_EQ(ansi_lines("xa\nby", {{"pre", 1, 3, ""}}, kPlain), (Lines{"x", "  a", "  b", "y"}));
  EXPECT_EQ(ansi_lines("a\n", {{"pre", 0, 1, ""}}, kPlain), (Lines{"  a", ""}));
  EXPECT_EQ(ansi_lines("ab cd", {{"blockquote", 0, 5, ""}}, {6, false}), (Lines{"│ ab", "│ cd"}));
}

TEST(AnsiLines, NothingSteersTheTerminal) {
  EXPECT_EQ(ansi_lines("a\x1b[2Jb\x07\xC2\x9B\u202E", {}, kPlain), (Lines{"a\uFFFD[2Jb\uFFFD\uFFFD\uFFFD"}));
  EXPECT_EQ(ansi_lines("x", {{"text_link", 0, 1, "\x1b]0;t"}}, kPlain), (Lines{"x (\uFFFD]0;t)"}));
  EXPECT_EQ(ansi_lines("a\xFFz\xE4\xB8", {}, kPlain), (Lines{"a\uFFFDz\uFFFD\uFFFD"}));
}

TEST(AnsiLines, SpansOutsideTheTextAreLeftOut) {
  EXPECT_EQ(ansi_lines("ab", {{"bold", -1, 1, ""}, {"bold", 2, 9, ""}, {"bold", 1, 0, ""}}, {0, true}),
            (Lines{"ab"}));
  EXPECT_EQ(ansi_lines("ab", {{"bold", 1, 99, ""}}, {0, true}), (Lines{"a\x1b[0;1mb\x1b[0m"}));
}

}  // namespace
}  // namespace sandbox
