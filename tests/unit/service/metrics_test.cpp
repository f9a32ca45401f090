#include "common/service/metrics.hpp"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace katana::service {
namespace {

using testing::HasSubstr;

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  Metrics m;
  auto calls = m.counter("katana_calls_total", "Calls.", {{"provider", "claude"}});
  calls.add();
  calls.add(2);
  m.gauge("katana_queue_jobs", "Jobs that wait.").set(7.5);
  auto h = m.histogram("katana_wait_seconds", "Wait.", {0.1, 1});
  h.observe(0.05);
  h.observe(5);
  const auto text = m.text();
  EXPECT_THAT(text, HasSubstr("# HELP katana_calls_total Calls.\n# TYPE katana_calls_total counter\n"
                              "katana_calls_total{provider=\"claude\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE katana_queue_jobs gauge\nkatana_queue_jobs 7.5\n"));
  EXPECT_THAT(text, HasSubstr("katana_wait_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("katana_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("katana_wait_seconds_count 2\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameSeries) {
  Metrics m;
  m.counter("katana_calls_total", "Calls.", {{"provider", "claude"}}).add();
  m.counter("katana_calls_total", "Calls.", {{"provider", "openai"}}).add();
  m.counter("katana_calls_total", "Calls.", {{"provider", "claude"}}).add();
  EXPECT_THAT(m.text(), HasSubstr("katana_calls_total{provider=\"claude\"} 2\n"));
  EXPECT_THAT(m.text(), HasSubstr("katana_calls_total{provider=\"openai\"} 1\n"));
}

TEST(Metrics, NamesAgainstTheConventionsAreOurMistake) {
  Metrics m;
  for (const auto* name : {"calls_total", "katana_calls", "katana_Calls_total", "katana_wait_ms_total"}) {
    EXPECT_THROW(m.counter(name, "Help."), std::invalid_argument) << name;
  }
  for (const auto* name :
       {"katana_jobs_total", "katana_jobs_count", "katana_wait_milliseconds", "katana-x"}) {
    EXPECT_THROW(m.gauge(name, "Help."), std::invalid_argument) << name;
  }
  EXPECT_THROW(m.gauge("katana_x", ""), std::invalid_argument);
  EXPECT_THROW(m.gauge("katana_x", "Help.", {{"user", "1"}}), std::invalid_argument);
  EXPECT_THROW(m.gauge("katana_x", "Help.", {{"chat_id", "1"}}), std::invalid_argument);
  EXPECT_THROW(m.histogram("katana_x_seconds", "Help.", {}), std::invalid_argument);
  EXPECT_THROW(m.histogram("katana_x_seconds", "Help.", {1, 1}), std::invalid_argument);
}

TEST(Metrics, AHandleWithoutASeriesDoesNothing) {
  Counter{}.add();
  Gauge{}.set(1);
  Histogram{}.observe(1);
}

}  // namespace
}  // namespace katana::service
