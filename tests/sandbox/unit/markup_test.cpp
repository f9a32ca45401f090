#include <gtest/gtest.h>

#include "text.hpp"

namespace sandbox {
namespace {

std::string shown(std::string_view mode, std::string_view source) {
  Formatted text;
  const std::string error = parse_markup(mode, source, text);
  return error.empty() ? text.text + entities_json(text.entities) : "! " + error;
}

TEST(Html, BecomesEntities) {
  EXPECT_EQ(shown("HTML", "<b>x</b> &lt;&amp;&#233;&#x1F600;"),
            R"(x <&é😀[{"offset":0,"length":1,"type":"bold"}])");
  EXPECT_EQ(shown("html", "<b>a<i>b</i></b>"),
            R"(ab[{"offset":0,"length":2,"type":"bold"},{"offset":1,"length":1,"type":"italic"}])");
  EXPECT_EQ(shown("HTML", R"(<a href="http://x/?a=1&amp;b=2">l</a>)"),
            R"(l[{"offset":0,"length":1,"type":"text_link","url":"http://x/?a=1&b=2"}])");
  EXPECT_EQ(shown("HTML", R"(<pre><code class="language-c">int x;</code></pre>)"),
            R"(int x;[{"offset":0,"length":6,"type":"pre","language":"c"}])");
  EXPECT_EQ(shown("HTML", "😀<u>x</u>"), R"(😀x[{"offset":2,"length":1,"type":"underline"}])");
}

TEST(Html, IsRefusedWhenBroken) {
  EXPECT_EQ(shown("HTML", "<b>x"),
            "! can't parse entities: Can't find end tag corresponding to start tag \"b\"");
  EXPECT_EQ(shown("HTML", "x</b>"), "! can't parse entities: Unexpected end tag at byte offset 1");
  EXPECT_EQ(shown("HTML", "<b>x</i>"),
            "! can't parse entities: Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\"");
  EXPECT_EQ(shown("HTML", "<blink>x</blink>"),
            "! can't parse entities: Unsupported start tag \"blink\" at byte offset 0");
  EXPECT_EQ(shown("HTML", "a <"), "! can't parse entities: Unclosed start tag at byte offset 2");
}

TEST(MarkdownV2, BecomesEntities) {
  EXPECT_EQ(shown("MarkdownV2", "*b* _i_ __u__ ~s~ ||p|| `c`"),
            R"(b i u s p c[{"offset":0,"length":1,"type":"bold"},{"offset":2,"length":1,"type":"italic"},)"
            R"({"offset":4,"length":1,"type":"underline"},{"offset":6,"length":1,"type":"strikethrough"},)"
            R"({"offset":8,"length":1,"type":"spoiler"},{"offset":10,"length":1,"type":"code"}])");
  EXPECT_EQ(shown("MarkdownV2", "```cpp\nint x;\\`\n```"),
            "int x;`\n[{\"offset\":0,\"length\":8,\"type\":\"pre\",\"language\":\"cpp\"}]");
  EXPECT_EQ(shown("MarkdownV2", "[a\\]](http://x/\\))"),
            "a][{\"offset\":0,\"length\":2,\"type\":\"text_link\",\"url\":\"http://x/)\"}]");
  EXPECT_EQ(shown("MarkdownV2", ">q\n>r\nx"), "q\nr\nx[{\"offset\":0,\"length\":4,\"type\":\"blockquote\"}]");
}

TEST(MarkdownV2, IsRefusedWhenBroken) {
  EXPECT_EQ(shown("MarkdownV2", "a.b"),
            "! can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'");
  EXPECT_EQ(shown("MarkdownV2", "*b"),
            "! can't parse entities: Can't find end of bold entity at byte offset 0");
  EXPECT_EQ(shown("MarkdownV2", "`b"),
            "! can't parse entities: Can't find end of Code entity at byte offset 0");
}

TEST(Markdown, TheOldKind) {
  EXPECT_EQ(shown("Markdown", "*b* a.b!"), R"(b a.b![{"offset":0,"length":1,"type":"bold"}])");
  EXPECT_EQ(shown("nothing", "x"), "! unsupported parse_mode");
}

TEST(Markup, NeverFallsOverPartOfAText) {
  const std::string html =
      "<b>a<a href=\"x\">&#12;&lt;é😀</a></b><pre><code class=\"language-x\">y</code></pre>";
  const std::string markdown = "*b* [l](u) `c` ```x\ny``` >q ||s|| \\* ~d~ __u__";
  for (std::size_t size = 0; size <= html.size(); ++size) {
    Formatted text;
    parse_markup("HTML", std::string_view(html).substr(0, size), text);
    EXPECT_LE(text.text.size(), size);
  }
  for (std::size_t size = 0; size <= markdown.size(); ++size) {
    Formatted text;
    parse_markup("MarkdownV2", std::string_view(markdown).substr(0, size), text);
    EXPECT_LE(text.text.size(), size);
  }
}

}  // namespace
}  // namespace sandbox
