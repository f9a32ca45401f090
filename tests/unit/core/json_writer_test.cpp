#include "common/core/json_writer.hpp"

#include <cstdint>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/core/text.hpp"

namespace katana {
namespace {

using nlohmann::json;

TEST(JsonWriter, IsWrittenAsOthersReadIt) {
  std::string every;
  for (int c = 1; c < 256; ++c)
    every += static_cast<char>(c);
  every += std::string("\0 and \xF0\x9F\x98\x80 \xED\xA0\x80", 15);
  JsonWriter out(16);
  out.begin_object().key("a").begin_array().end_array().key("b").value(true).key("c").begin_array();
  out.value(std::uint64_t{7}).value("x").begin_object().end_object().end_array();
  out.key("d").begin_text().text("1").text("2").end_text().key("e").value(every).end_object();
  const auto read = json::parse(out.take());
  EXPECT_EQ(read["a"], json::array());
  EXPECT_EQ(read["b"], true);
  EXPECT_EQ(read["c"], json::parse(R"([7,"x",{}])"));
  EXPECT_EQ(read["d"], "12");
  EXPECT_EQ(read["e"], text::sanitize(every));
}

}  // namespace
}  // namespace katana
