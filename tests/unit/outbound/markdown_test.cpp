#include "gateway/outbound/markdown.hpp"

#include <tuple>

#include <gmock/gmock.h>

#include "gateway/outbound/fuzz.hpp"
#include "gateway/outbound/unfinished.hpp"
#include "tests/unit/outbound/random_markdown.hpp"

namespace katana::gateway::markdown {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using E = telegram::Entity;

Formatted growing(std::string_view source) {
  return render(make_whole(source, true).source);
}

TEST(Markdown, KnowsEveryInlineStyle) {
  const Formatted f = render("a **b** *c* _d_ ~~e~~ `f` [g](https://h.i) ***j***");
  EXPECT_EQ(f.text, "a b c d e f g j");
  EXPECT_THAT(f.entities,
              ElementsAre(E{"bold", 2, 1}, E{"italic", 4, 1}, E{"italic", 6, 1}, E{"strikethrough", 8, 1},
                          E{"code", 10, 1}, E{"text_link", 12, 1, "https://h.i"}, E{"bold", 14, 1},
                          E{"italic", 14, 1}));
}

TEST(Markdown, CountsUtf16Units) {
  const Formatted f = render("😀é **😀** x");
  EXPECT_EQ(f.text, "😀é 😀 x");
  EXPECT_THAT(f.entities, ElementsAre(E{"bold", 4, 2}));
}

TEST(Markdown, CutsStylesAroundCode) {
  const Formatted f = render("**use `x` now**");
  EXPECT_THAT(f.entities, ElementsAre(E{"bold", 0, 3}, E{"code", 4, 1}, E{"bold", 6, 3}));
  EXPECT_THAT(render("[`x`](https://a.b)").entities, ElementsAre(E{"text_link", 0, 1, "https://a.b"}));
}

TEST(Markdown, ShowsListsAsBulletsAndNumbers) {
  EXPECT_EQ(render("- a\n- b\n  - c\n    1. d\n    2. e\n- [ ] f\n- [x] g").text,
            "• a\n• b\n  • c\n    1. d\n    2. e\n☐ f\n☑ g");
  EXPECT_EQ(render("7. a\n8. b").text, "7. a\n8. b");
  EXPECT_EQ(render("- a\n\n- b\n\n  c\n").text, "• a\n\n• b\n\nc") << "blank lines stay as they were";
  EXPECT_EQ(render("-\n- a").text, "•\n• a");
  EXPECT_EQ(render("- - a").text, "• • a");
}

TEST(Markdown, ShowsHeadingsBoldRulesAndQuotes) {
  const Formatted f = render("# A `b` **c**\ntext\n\n---\n\n> q\n> r\n\nend");
  EXPECT_EQ(f.text, "A b c\ntext\n\n———\n\nq\nr\n\nend");
  EXPECT_THAT(f.entities,
              ElementsAre(E{"bold", 0, 1}, E{"code", 2, 1}, E{"bold", 4, 1}, E{"blockquote", 17, 3}));
}

TEST(Markdown, KeepsCodeAsItIs) {
  const Formatted f = render("x\n\n```c++ title\n  a **b**\n\n\tc\n```\n\ny");
  EXPECT_EQ(f.text, "x\n\n  a **b**\n\n    c\n\ny");
  ASSERT_EQ(f.entities.size(), 1u);
  EXPECT_EQ(f.entities[0], (E{"pre", 3, 16, "", "c++"}));
  EXPECT_EQ(render("```\n    indented\n```").text, "    indented")
      << "Telegram trims only up to the first entity";
  EXPECT_EQ(render("> ```\n> q\n> ```").entities.size(), 2u);
  EXPECT_EQ(render("    no code block").entities.size(), 0u);
}

TEST(Markdown, LaysOutTables) {
  const Formatted f =
      render("before\n\n| Name | Qty |\n|:-----|----:|\n| **a** | 1 |\n| bcdef | 22 |\n\nafter");
  EXPECT_EQ(f.text,
            "before\n\n"
            "Name  | Qty\n"
            "------+----\n"
            "a     |   1\n"
            "bcdef |  22\n\nafter");
  EXPECT_THAT(f.entities, ElementsAre(E{"pre", 8, 47}));
  const std::string wide(70, 'w');
  EXPECT_EQ(render("|a|b|\n|---|---|\n|" + wide + "|c|").text, "a | b\n" + wide + " | c");
  EXPECT_EQ(render("|a|b|\n|---|---|\n|[t](http://u.v)|c|").text,
            "a              | b\n"
            "---------------+--\n"
            "t (http://u.v) | c")
      << "no link inside monospaced text: it is written out";
}

TEST(Markdown, LinksOnlyWhatTelegramTakes) {
  EXPECT_EQ(render("![alt](http://a.b/c.png)").entities,
            (std::vector<E>{{"text_link", 0, 3, "http://a.b/c.png"}}));
  EXPECT_EQ(render("[t](docs/x.md)").text, "t (docs/x.md)");
  EXPECT_EQ(render("[t](javascript:1)").entities.size(), 0u);
  EXPECT_EQ(render("![](http://a.b)").text, "http://a.b");
  EXPECT_EQ(render("<me@a.b>").text, "me@a.b");
  EXPECT_EQ(render("http://x.com/_a_/b").text, "http://x.com/_a_/b");
  EXPECT_THAT(render("http://x.com/_a_/b").entities, IsEmpty());
  EXPECT_EQ(render("[![i](http://a.b)](http://c.d)").entities,
            (std::vector<E>{{"text_link", 0, 1, "http://c.d"}}));
}

TEST(Markdown, ShowsHtmlAsText) {
  EXPECT_EQ(render("<b>x</b> &lt;&amp;&#x1F600;&#0;&unknown;").text, "<b>x</b> <&😀 &unknown;");
  EXPECT_EQ(render("<script>\nalert(1)\n</script>").text, "<script>\nalert(1)\n</script>");
}

TEST(Markdown, SurvivesBadBytes) {
  EXPECT_EQ(render("a\xFF\x00"
                   "b\r\nc\x07")
                .text,
            "a\xEF\xBF\xBD")
      << "a C string ends at its NUL";
  EXPECT_EQ(render(std::string_view("a\xFF\0b\r\nc\x07", 8)).text, "a\xEF\xBF\xBD b\nc");
  EXPECT_EQ(render("").text, "");
  EXPECT_EQ(render(" \n\t\n").text, "");
}

TEST(Markdown, DropsSurplusEntitiesButNoText) {
  std::string source;
  for (int i = 0; i < 150; ++i)
    source += "**b** ";
  source += "`code`";
  const Formatted f = render(source);
  EXPECT_EQ(f.entities.size(), 100u);
  EXPECT_EQ(f.entities.back().type, "code") << "code is worth more than bold";
  EXPECT_EQ(f.text.size(), 150 * 2 + 4u);
}

TEST(Unfinished, ClosesWhatIsOpen) {
  for (const auto& [source, text, entity] : std::vector<std::tuple<const char*, const char*, const char*>>{
           {"say **bo", "say bo", "bold"},
           {"say **bold*", "say bold", "bold"},
           {"say *it", "say it", "italic"},
           {"say ~~st", "say st", "strikethrough"},
           {"say `co", "say co", "code"},
           {"say ``c`d", "say c`d", "code"},
           {"- **Item", "• Item", "bold"},
           {"* **Item** and *mo", "• Item and mo", "bold"},
           {"# Head", "Head", "bold"},
           {"```py\nx = 1", "x = 1", "pre"},
           {"```py\nx = 1\n``", "x = 1", "pre"},
           {"> quo", "quo", "blockquote"}}) {
    const Formatted f = growing(source);
    EXPECT_EQ(f.text, text) << source;
    ASSERT_FALSE(f.entities.empty()) << source;
    EXPECT_EQ(f.entities[0].type, entity) << source;
  }
}

TEST(Unfinished, ShowsNothingHalf) {
  for (const auto& [source, text] :
       std::vector<std::pair<const char*, const char*>>{{"say **", "say"},
                                                        {"say `", "say"},
                                                        {"text\n-", "text"},
                                                        {"text\n--", "text"},
                                                        {"text\n=", "text"},
                                                        {"text\n\n1.", "text"},
                                                        {"text\n\n##", "text"},
                                                        {"text\n\n```", "text"},
                                                        {"text\n\n```py", "text"},
                                                        {"see [the docs](https://ex", "see the docs"},
                                                        {"see ![pic](", "see pic"},
                                                        {"2 * 3 = 6 and 4 * 5", "2 * 3 = 6 and 4 * 5"},
                                                        {"snake_case_name", "snake_case_name"},
                                                        {"a \\*b", "a *b"}}) {
    EXPECT_EQ(growing(source).text, text) << source;
    EXPECT_THAT(growing(source).entities, IsEmpty()) << source;
  }
}

TEST(Unfinished, NeverShowsAMarkerThatLaterVanishes) {
  const std::string source =
      "Intro with **bold words** and `code`, a [link](https://a.b/c) and *it*.\n\n"
      "- **One**: first\n- Two\n\n```py\nprint('x')\n```\n\nEnd.";
  for (std::size_t n = 0; n <= source.size(); ++n) {
    const Formatted f = growing(std::string_view(source).substr(0, n));
    for (const char* marker : {"**", "`", "](", "```"}) {
      EXPECT_EQ(f.text.find(marker), std::string::npos) << n << ": " << f.text;
    }
  }
}

TEST(Markdown, PropertiesHoldForAnything) {
  test::RandomMarkdown random(42);
  for (int i = 0; i < 3000; ++i) {
    const std::string source =
        i % 2 == 0 ? random.noise(1 + random.below(400)) : random.text(1 + random.below(2000));
    const std::string flaw =
        fuzz::check_markdown(reinterpret_cast<const std::uint8_t*>(source.data()), source.size());
    ASSERT_EQ(flaw, "") << "round " << i << "\n" << source;
  }
}

}  // namespace
}  // namespace katana::gateway::markdown
