#include "line_editor.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

using Lines = std::vector<std::string>;

TEST(LineEditor, GivesLinesWholeAndAByteAtATime) {
  const std::string typed = "héllo\r/quit\nrest";
  LineEditor whole;
  EXPECT_EQ(whole.feed(typed), (Lines{"héllo", "/quit"}));
  EXPECT_EQ(whole.text(), "rest");
  LineEditor bytes;
  Lines lines;
  for (const char c : typed) {
    for (const std::string& line : bytes.feed({&c, 1}))
      lines.push_back(line);
  }
  EXPECT_EQ(lines, (Lines{"héllo", "/quit"}));
  EXPECT_EQ(bytes.text(), "rest");
}

TEST(LineEditor, Erases) {
  LineEditor editor;
  editor.feed("añ中😀\x7f\x7f");
  EXPECT_EQ(editor.text(), "añ");
  editor.feed(" two  words  \x17");
  EXPECT_EQ(editor.text(), "añ two  ");
  editor.feed("\x15\x7f\x17");
  EXPECT_EQ(editor.text(), "");
}

TEST(LineEditor, ArrowsLeaveNothingBehind) {
  LineEditor editor;
  editor.feed(
      "a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1b"
      "e\a");
  EXPECT_EQ(editor.text(), "abcde");
}

TEST(LineEditor, Ends) {
  LineEditor editor;
  editor.feed("a\x04");
  EXPECT_FALSE(editor.ended());
  editor.feed("\x7f\x04");
  EXPECT_TRUE(editor.ended());
  LineEditor other;
  EXPECT_EQ(other.feed("a\nb\x03"
                       "c\n"),
            (Lines{"a"}));
  EXPECT_TRUE(other.ended());
}

TEST(LineEditor, IsBounded) {
  LineEditor editor;
  editor.feed(std::string(2 * LineEditor::kLongest, 'x'));
  EXPECT_EQ(editor.text().size(), LineEditor::kLongest);
}

}  // namespace
}  // namespace sandbox
