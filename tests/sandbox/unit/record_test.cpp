#include "record.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

Request sample() {
  Request request;
  request.method = "POST";
  request.path = "/bot123:SECRET/sendMessage";
  request.headers = {{"Host", "x"}, {"Authorization", "Bearer sk-secret"}, {"X-Api-Key", "sk-other"}};
  request.body = "{}";
  return request;
}

TEST(Record, ShowsNoSecret) {
  Record record(10, 1U << 20);
  const Entry* entry = record.find(record.begin(sample()));
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->path, "/bot<token>/sendMessage");
  EXPECT_EQ(entry->headers, "Host: x\nAuthorization: Bearer sha256:" + fingerprint("sk-secret") +
                                "\nX-Api-Key: sha256:" + fingerprint("sk-other") + "\n");
}

TEST(Record, IsBoundedByCountAndByBytes) {
  Record few(3, 1U << 20);
  for (int i = 0; i < 10; ++i)
    few.begin(sample());
  EXPECT_EQ(few.entries().size(), 3u);
  EXPECT_EQ(few.first(), 8u);
  EXPECT_EQ(few.find(7), nullptr);
  ASSERT_NE(few.find(9), nullptr);
  EXPECT_EQ(few.find(9)->number, 9u);
  EXPECT_EQ(few.find(11), nullptr);
  Record small(1000, 5000);
  for (int i = 0; i < 1000; ++i)
    small.begin(sample());
  EXPECT_LE(small.bytes(), 5000u);
  small.clear();
  EXPECT_EQ(small.bytes(), 0u);
}

TEST(Record, CanBeOff) {
  Record record(3, 1000);
  record.turn(false);
  EXPECT_EQ(record.begin(sample()), 0u);
  EXPECT_EQ(record.find(0), nullptr);
}

}  // namespace
}  // namespace sandbox
