#include "common/config/models.hpp"

#include <gtest/gtest.h>

#include "tests/unit/config/place.hpp"

namespace katana::config {
namespace {

std::string reason(std::string_view toml) {
  const auto table = parse_models(toml, "m.toml");
  EXPECT_FALSE(table) << toml;
  return table ? "" : table.error().detail;
}

TEST(Models, ARowIsReadWhole) {
  const auto table = parse_models(R"(
[[model]]
id = "gpt-x"
provider = "openai"
label = "X"
default = true
context_tokens = 1000
max_output_tokens = 100
price_input = 1.5
price_output = 6
)",
                                  "m.toml");
  ASSERT_TRUE(table) << table.error().detail;
  const Model* m = table->find("gpt-x");
  ASSERT_NE(m, nullptr);
  EXPECT_EQ(m->provider, "openai");
  EXPECT_EQ(m->label, "X");
  EXPECT_TRUE(m->is_default);
  EXPECT_EQ(m->context_tokens, 1000U);
  EXPECT_EQ(m->max_output_tokens, 100U);
  EXPECT_EQ(m->price_input, 1.5);
  EXPECT_EQ(m->price_output, 6.0);
  EXPECT_EQ(m->price_cache_read, std::nullopt);
  EXPECT_EQ(table->find("gpt-y"), nullptr);
  EXPECT_EQ(table->default_of("openai"), m);
  EXPECT_EQ(table->default_of("claude"), nullptr);
}

TEST(Models, ErrorsSayLineColumnAndReason) {
  EXPECT_EQ(reason("[[model]]\nprovider = \"claude\"\n"),
            "m.toml line 1 column 1: a [[model]] needs an id as its provider writes it");
  EXPECT_EQ(reason("[[model]]\nid = \"a\"\n"),
            "m.toml line 1 column 1: a needs provider = \"claude\" or \"openai\"");
  const std::string row = "[[model]]\nid = \"a\"\nprovider = \"claude\"\n";
  EXPECT_EQ(reason(row + "prize = 1\n"), "m.toml line 4 column 9: unknown key \"prize\"");
  EXPECT_EQ(reason(row + "price_input = -1\n"),
            "m.toml line 4 column 15: price_input is USD per million tokens");
  EXPECT_EQ(reason(row + "price_input = nan\n"),
            "m.toml line 4 column 15: price_input is USD per million tokens");
  EXPECT_EQ(reason(row + "context_tokens = 1.5\n"),
            "m.toml line 4 column 18: context_tokens is a whole number of tokens above 0");
  EXPECT_EQ(reason(row + "default = 1\n"), "m.toml line 4 column 11: default is true or false");
  EXPECT_EQ(reason(row + "label = \"\"\n"), "m.toml line 4 column 9: label is a text of 1 to 64 bytes");
  EXPECT_EQ(reason("[[model]]\nid = \"a\"\nprovider = \"x\"\n"),
            "m.toml line 3 column 12: provider is \"claude\" or \"openai\"");
  EXPECT_EQ(reason(row + row), "m.toml line 4 column 1: a stands in this file twice");
  EXPECT_EQ(reason("models = 1\n"),
            "m.toml line 1 column 10: only [[model]] tables are known here, not \"models\"");
  EXPECT_TRUE(reason("[[model]\n").starts_with("m.toml line 1 column "));
  EXPECT_EQ(reason(std::string((1 << 20) + 1, '\n')), "m.toml: larger than 1 MiB");
}

TEST(Models, TheOperatorsTableLiesOverTheShippedOne) {
  const Place place;
  const auto shipped = place.file("shipped.toml", R"(
[[model]]
id = "a"
provider = "claude"
label = "A"
default = true
max_output_tokens = 10
[[model]]
id = "b"
provider = "claude"
)");
  const auto own = place.file("own.toml", R"(
[[model]]
id = "a"
price_input = 3
[[model]]
id = "c"
provider = "claude"
default = true
[[model]]
id = "b"
offered = false
)");
  const auto table = load_models(shipped, own);
  ASSERT_TRUE(table) << table.error().detail;
  ASSERT_EQ(table->models.size(), 2U);
  EXPECT_EQ(table->find("a")->label, "A");
  EXPECT_EQ(table->find("a")->max_output_tokens, 10U);
  EXPECT_EQ(table->find("a")->price_input, 3.0);
  EXPECT_FALSE(table->find("a")->is_default);
  EXPECT_EQ(table->default_of("claude")->id, "c");
  EXPECT_EQ(table->find("b"), nullptr);
  EXPECT_FALSE(load_models(shipped, "/nowhere.toml"));
}

TEST(Models, TheShippedTableHasTheMiddleTierAsDefaultAndNoPrice) {
  const auto table = load_models(std::string(KATANA_SOURCE_DIR) + "/deploy/models.toml", "");
  ASSERT_TRUE(table) << table.error().detail;
  EXPECT_EQ(table->default_of("claude")->id, "claude-sonnet-5-5");
  EXPECT_EQ(table->default_of("openai")->id, "gpt-6.1-terra");
  EXPECT_EQ(table->models.size(), 11U);
  for (const Model& m : table->models) {
    EXPECT_FALSE(m.price_input || m.price_output || m.price_cache_read || m.price_cache_write) << m.id;
    EXPECT_GT(m.max_output_tokens, 0U) << m.id;
  }
}

}  // namespace
}  // namespace katana::config
