#include "text.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

std::vector<Entity> one(std::int64_t offset, std::int64_t length) {
  return {{"bold", offset, length, ""}};
}

TEST(Utf16, CountsUnits) {
  EXPECT_EQ(utf16_length("abc"), 3u);
  EXPECT_EQ(utf16_length("é"), 1u);
  EXPECT_EQ(utf16_length("中"), 1u);
  EXPECT_EQ(utf16_length("😀"), 2u);
}

TEST(CheckEntities, TakesWhatLiesInside) {
  EXPECT_EQ(check_entities("a😀b", one(0, 4)), "");
  EXPECT_EQ(check_entities("a😀b", one(1, 2)), "");
  EXPECT_EQ(check_entities("é中", one(1, 1)), "");
}

TEST(CheckEntities, RefusesWhatDoesNot) {
  EXPECT_NE(check_entities("a😀b", one(2, 2)), "");
  EXPECT_NE(check_entities("a😀b", one(0, 2)), "");
  EXPECT_NE(check_entities("a😀b", one(0, 5)), "");
  EXPECT_NE(check_entities("a😀b", one(-1, 2)), "");
  EXPECT_NE(check_entities("a😀b", one(5, 1)), "");
  EXPECT_NE(check_entities("abc", one(1, 0)), "");
}

TEST(ReadEntities, RefusesUnknownKinds) {
  simdjson::dom::parser parser;
  std::vector<Entity> entities;
  EXPECT_NE(read_entities(parser.parse(R"([{"type":"shiny","offset":0,"length":1}])"_padded), entities), "");
  EXPECT_NE(read_entities(parser.parse(R"([{"type":"bold","length":1}])"_padded), entities), "");
  EXPECT_NE(read_entities(parser.parse(R"({"type":"bold"})"_padded), entities), "");
  EXPECT_NE(read_entities(parser.parse(R"([{"type":"text_link","offset":0,"length":1}])"_padded), entities),
            "");
  entities.clear();
  EXPECT_EQ(read_entities(parser.parse(R"([{"type":"pre","offset":0,"length":1,"language":"c\"x"}])"_padded),
                          entities),
            "");
  EXPECT_EQ(entities_json(entities), R"([{"offset":0,"length":1,"type":"pre","language":"c\"x"}])");
}

TEST(Trim, MovesEntitiesAlong) {
  Formatted text{"\n  abc  ", {{"bold", 0, 4, ""}, {"italic", 5, 3, ""}, {"code", 6, 2, ""}}};
  trim(text);
  EXPECT_EQ(text.text, "abc");
  ASSERT_EQ(text.entities.size(), 2u);
  EXPECT_EQ(text.entities[0].offset, 0);
  EXPECT_EQ(text.entities[0].length, 1);
  EXPECT_EQ(text.entities[1].offset, 2);
  EXPECT_EQ(text.entities[1].length, 1);
}

TEST(Detect, FindsCommandsMentionsLinks) {
  Formatted text{"😀 /start@my_bot see https://x.y/z?a=b (@someone) a@b.c /x", {}};
  detect_entities(text);
  ASSERT_EQ(text.entities.size(), 4u);
  EXPECT_EQ(text.entities[0].type, "bot_command");
  EXPECT_EQ(text.entities[0].offset, 3);
  EXPECT_EQ(text.entities[0].length, 13);
  EXPECT_EQ(text.entities[1].type, "url");
  EXPECT_EQ(text.entities[2].type, "mention");
  EXPECT_EQ(text.entities[3].type, "bot_command");
}

TEST(AppendJson, EscapesEverythingThatMustBe) {
  EXPECT_EQ(to_json(std::string_view("a\"\\\n\r\t\x01\0é/", 11)), "\"a\\\"\\\\\\n\\r\\t\\u0001\\u0000é/\"");
}

}  // namespace
}  // namespace sandbox
