#include "gateway/counters.hpp"

#include <gmock/gmock.h>

namespace katana::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

struct CountersTest : testing::Test {
  service::Metrics metrics;
  Counters counters{metrics};
};

TEST_F(CountersTest, EachErrorHasASeriesBeforeItComes) {
  for (const Code code : kCodes) {
    const std::string label = "code=\"" + std::string(to_string(code)) + "\"";
    EXPECT_THAT(metrics.text(), HasSubstr("katana_telegram_errors_total{" + label + "} 0\n"));
    EXPECT_THAT(metrics.text(),
                HasSubstr("katana_job_failures_total{" + label + ",provider=\"openai\"} 0\n"));
  }
  counters.job_failed("openai", Code::Quota);
  counters.job_failed("stranger", Code::Quota);
  EXPECT_THAT(metrics.text(), HasSubstr("katana_job_failures_total{code=\"quota\",provider=\"openai\"} 1\n"));
  EXPECT_THAT(metrics.text(), Not(HasSubstr("stranger")));
}

TEST_F(CountersTest, UpdatesAreCountedByKind) {
  counters.update({.update_id = 1, .body = IncomingMessage{}});
  counters.update({.update_id = 2, .body = StopGeneration{}});
  counters.update({.update_id = 3, .body = IncomingMessage{}});
  EXPECT_THAT(metrics.text(), HasSubstr("katana_updates_total{kind=\"message\"} 2\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("katana_updates_total{kind=\"stop\"} 1\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("katana_updates_total{kind=\"unknown\"} 0\n"));
}

TEST_F(CountersTest, WhatA429AsksForIsCountedInSeconds) {
  counters.telegram_failed({Code::RateLimited, "", Millis{37'000}});
  counters.telegram_failed({Code::RateLimited, "", Millis{1'500}});
  counters.telegram_failed({Code::RateLimited, ""});
  counters.telegram_failed({Code::Network, "", Millis{9'000}});
  EXPECT_THAT(metrics.text(), HasSubstr("katana_telegram_flood_wait_seconds_total 38.5\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("katana_telegram_errors_total{code=\"rate_limited\"} 3\n"));
}

TEST_F(CountersTest, TheDiskOfTheStoreIsSeen) {
  counters.look_at_disk("/");
  EXPECT_THAT(metrics.text(), Not(HasSubstr("katana_store_disk_size_bytes 0\n")));
  counters.look_at_disk("/nowhere/at/all");
}

struct SpendTest : testing::Test {
  service::Metrics metrics;
  Spend spend{metrics};
  config::Model priced{
      .id = "m-1", .provider = "claude", .price_input = 3, .price_output = 15, .price_cache_read = 0.3};
  config::Model unpriced{.id = "m-2", .provider = "openai"};
};

TEST_F(SpendTest, TokensByKindAndUsdWhereAPriceIsKnown) {
  spend.offer({.models = {priced, unpriced}});
  EXPECT_THAT(metrics.text(), HasSubstr("katana_spend_usd_total{model=\"m-1\",provider=\"claude\"} 0\n"));
  const bus::Usage usage{.input_tokens = 1'000'000, .output_tokens = 100'000, .cache_read_tokens = 500'000};
  spend.add("claude", &priced, usage);
  spend.add("openai", &unpriced, usage);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("katana_spend_usd_total{model=\"m-1\",provider=\"claude\"} 3.15"));
  EXPECT_THAT(text, Not(HasSubstr("katana_spend_usd_total{model=\"m-2\"")));
  for (const std::string model : {"model=\"m-1\",provider=\"claude\"", "model=\"m-2\",provider=\"openai\""}) {
    EXPECT_THAT(text, HasSubstr("katana_tokens_total{kind=\"output\"," + model + "} 100000\n"));
    EXPECT_THAT(text, HasSubstr("katana_tokens_total{kind=\"cache_read\"," + model + "} 500000\n"));
    EXPECT_THAT(text, HasSubstr("katana_tokens_total{kind=\"cache_write\"," + model + "} 0\n"));
  }
}

TEST_F(SpendTest, AModelOutsideTheTableIsOneOfTheOthers) {
  spend.add("openai", nullptr, {.input_tokens = 5});
  spend.add("openai", nullptr, {.input_tokens = 6});
  spend.add("claude", nullptr, {});
  EXPECT_THAT(metrics.text(),
              HasSubstr("katana_tokens_total{kind=\"input\",model=\"other\",provider=\"openai\"} 11\n"));
  EXPECT_THAT(metrics.text(), Not(HasSubstr("claude"))) << "nothing was used";
}

TEST_F(SpendTest, APriceThatComesLaterCountsFromThenOn) {
  spend.add("openai", &unpriced, {.input_tokens = 1'000'000});
  unpriced.price_input = 2;
  unpriced.price_output = 8;
  spend.offer({.models = {unpriced}});
  spend.add("openai", &unpriced, {.input_tokens = 1'000'000});
  EXPECT_THAT(metrics.text(), HasSubstr("katana_spend_usd_total{model=\"m-2\",provider=\"openai\"} 2\n"));
}

}  // namespace
}  // namespace katana::gateway
