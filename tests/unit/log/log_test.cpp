#include "common/log/log.hpp"

#include <array>
#include <csignal>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "common/log/sink.hpp"

namespace katana::log {
namespace {

using config::LogFormat;
using config::LogMessages;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr const char* kToken = "1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456789";

std::string line(LogFormat format, std::string_view message) {
  const spdlog::log_clock::time_point when{std::chrono::milliseconds{1'790'000'000'042}};
  return format_line(format, "gateway.poller", spdlog::level::warn, when, message);
}

TEST(Line, LooksAsTheGuideSays) {
  EXPECT_THAT(
      line(LogFormat::Text, "hello"),
      MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},042 - gateway.poller - WARNING - "
                   "hello"));
  EXPECT_EQ(line(LogFormat::Json, "say \"hi\" \\ now"),
            R"({"time":"2026-09-21T14:13:20.042Z","component":"gateway.poller","level":"WARNING",)"
            R"("message":"say \"hi\" \\ now"})");
  const auto level = [](spdlog::level::level_enum l) {
    return format_line(LogFormat::Text, "c", l, {}, "m");
  };
  EXPECT_THAT(level(spdlog::level::debug), HasSubstr(" - DEBUG - "));
  EXPECT_THAT(level(spdlog::level::info), HasSubstr(" - INFO - "));
  EXPECT_THAT(level(spdlog::level::err), HasSubstr(" - ERROR - "));
  EXPECT_THAT(level(spdlog::level::critical), HasSubstr(" - CRITICAL - "));
}

TEST(Line, IsOneLineOfUtf8WhateverComes) {
  const auto text = line(LogFormat::Text, "a\nb\r\tc\x1b[31m\xFF");
  EXPECT_EQ(text.find_first_of("\n\r\t\x1b"), std::string::npos);
  EXPECT_THAT(text, HasSubstr("a b  c [31m\xEF\xBF\xBD"));
  EXPECT_LT(line(LogFormat::Text, std::string(1 << 20, 'x')).size(), 70'000U);
}

TEST(Redaction, TokensAndPasswordsInUrlsGo) {
  EXPECT_EQ(redact("GET https://api.telegram.org/bot" + std::string(kToken) + "/getMe failed"),
            "GET https://api.telegram.org/bot123...:789/getMe failed");
  EXPECT_EQ(redact(std::string(kToken) + " " + kToken), "123...:789 123...:789");
  EXPECT_EQ(redact("proxy http://user:p@ss@host:3128/x a@b"), "proxy http://***@host:3128/x a@b");
  EXPECT_EQ(redact("12:34:56,123 127.0.0.1:9710 claude:1"), "12:34:56,123 127.0.0.1:9710 claude:1");
}

TEST(Redaction, RegisteredSecretsGoTheLongerOnesFirst) {
  hide("sk-ant-0123456789abcdef");
  hide("sk-ant-0123456789abcdef-and-more");
  hide("short");
  hide("");
  EXPECT_EQ(redact("key sk-ant-0123456789abcdef!"), "key sk-...def!");
  EXPECT_EQ(redact("key sk-ant-0123456789abcdef-and-more!"), "key sk-...ore!");
  EXPECT_EQ(redact("short"), "short");
}

TEST(Excerpt, FollowsTheSetting) {
  const std::string text = "first line\nsecond " + std::string(100, 'x');
  EXPECT_EQ(excerpt(text, LogMessages::None), "");
  EXPECT_EQ(excerpt(text, LogMessages::Summary), "first line second " + std::string(31, 'x') + "…");
  EXPECT_EQ(excerpt(text, LogMessages::Full), "first line second " + std::string(100, 'x'));
  std::string emoji;
  for (int i = 0; i < 100; ++i)
    emoji += "😀";
  EXPECT_EQ(excerpt(emoji, LogMessages::Summary), emoji.substr(0, 24 * 4) + "…");
}

/// A pipe, a sink on its writing end, and a logger over it.
struct Piped {
  Piped() {
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    sink = std::make_shared<LineSink>(ends[1], LogFormat::Text);
    logger = std::make_unique<spdlog::logger>("test", sink);
  }
  ~Piped() {
    logger.reset();
    close_reader();
    close(ends[1]);
  }
  void close_reader() {
    if (ends[0] >= 0) close(ends[0]);
    ends[0] = -1;
  }
  std::string take() const {
    std::string out;
    std::array<char, 65536> part{};
    for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;) {
      out.append(part.data(), static_cast<std::size_t>(n));
    }
    return out;
  }
  std::array<int, 2> ends{};
  std::shared_ptr<LineSink> sink;
  std::unique_ptr<spdlog::logger> logger;
};

TEST(Sink, WritesEachLineAtOnce) {
  const Piped p;
  p.logger->info("one {}", kToken);
  EXPECT_THAT(p.take(), MatchesRegex(".* - test - INFO - one 123...:789\n"));
}

TEST(Sink, ASlowReaderNeverBlocksUsAndIsToldOfWhatItMissed) {
  const Piped p;
  const std::string filler(10'000, 'x');
  for (int i = 0; i < 400; ++i)
    p.logger->info("line {} {}", i, filler);  // 4 MB; pipe 64 KiB, memory 1 MiB
  std::string all;
  for (int i = 0; i < 40; ++i) {  // each new line takes waiting ones along
    all += p.take();
    p.logger->info("tick");
  }
  p.logger->info("afterwards");
  all += p.take();
  EXPECT_THAT(all, HasSubstr("line 0 "));
  EXPECT_THAT(all, HasSubstr(" - WARNING - "));
  EXPECT_THAT(all, HasSubstr("log lines were dropped"));
  EXPECT_THAT(all, HasSubstr("INFO - afterwards\n"));
  EXPECT_THAT(all, Not(HasSubstr("line 399 ")));
}

TEST(Sink, SurvivesAReaderThatHasGone) {
  std::signal(SIGPIPE, SIG_IGN);
  Piped p;
  p.close_reader();
  p.logger->info("one");
  p.logger->info("two");
  p.logger->flush();
}

TEST(Room, CarriesTheComponentsNameAndKeepsItsLevel) {
  constexpr Room kPoller{"poller"};
  open("gateway", "warning", LogFormat::Text);
  testing::internal::CaptureStdout();
  kPoller.info("quiet {}", 1);
  kPoller.warn("{} tries, {}", 3, std::string("then more"));
  Room().critical("the whole process");
  flush();
  const std::string written = testing::internal::GetCapturedStdout();
  EXPECT_THAT(written, HasSubstr(" - gateway.poller - WARNING - 3 tries, then more\n"));
  EXPECT_THAT(written, HasSubstr(" - gateway - CRITICAL - the whole process\n"));
  EXPECT_THAT(written, Not(HasSubstr("quiet")));
}

}  // namespace
}  // namespace katana::log
