#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/core/id.hpp"
#include "watchdog/cli/check.hpp"
#include "watchdog/cli/init.hpp"
#include "watchdog/cli/up.hpp"

namespace katana::watchdog {
namespace {

const Wall kNow = from_unix(1'790'000'000);

Verdict judge(const std::string& content) {
  return judge_heartbeat(content, "beat.txt", Seconds{120}, kNow);
}

TEST(CheckHeartbeat, FreshIsOk) {
  EXPECT_EQ(judge("1789999999\n").line, "OK: the heartbeat is fresh: 1 seconds old (threshold 120)");
  EXPECT_TRUE(judge("1789999880").ok);
  EXPECT_TRUE(judge("1789999990.25").ok);
  EXPECT_TRUE(judge("1790000003").ok);
}

TEST(CheckHeartbeat, EverythingElseIsCritical) {
  for (const char* content : {"", " \n", "1789999879", "1790000600", "yesterday", "12 34", "-5", "1e9999",
                              "nan", "1790000000000", "\xff\xfe"}) {
    const auto verdict = judge(content);
    EXPECT_FALSE(verdict.ok) << content;
    EXPECT_EQ(verdict.line.rfind("CRITICAL: ", 0), 0u);
  }
}

TEST(CheckHeartbeat, ReadsAFileAndSaysWhatIsWrongWithIt) {
  const auto path = std::filesystem::temp_directory_path() / ("katana-beat-" + fresh_id());
  EXPECT_EQ(check_heartbeat(path, Seconds{120}, kNow).line,
            "CRITICAL: the heartbeat file " + path.string() + " is not there");
  std::ofstream(path) << "1790000000\n";
  EXPECT_TRUE(check_heartbeat(path, Seconds{120}, kNow).ok);
  std::ofstream(path) << std::string(10'000, '1');
  EXPECT_FALSE(check_heartbeat(path, Seconds{120}, kNow).ok);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_FALSE(check_heartbeat(path, Seconds{120}, kNow).ok);
  std::filesystem::remove(path);
}

TEST(Init, FindsTheChatThatSaysTheCode) {
  const auto found = find_chat(R"({"ok":true,"result":[
      {"update_id":5,"message":{"chat":{"id":11,"first_name":"A"},"text":"471100"}},
      {"update_id":6,"message":{"chat":{"id":-22,"title":"Ops\nroom"},"text":"/start@ops_bot 471100"}},
      {"update_id":7,"message":{"chat":{"id":33,"first_name":"Stranger"},"text":"It is me"}},
      {"update_id":8,"message":{"chat":{"id":44,"first_name":"Stranger"},"text":"1471100"}},
      {"update_id":9,"message":{"chat":{"id":55},"photo":[]}},
      {"update_id":10,"my_chat_member":{}}]})",
                               "471100");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->chat_id, -22);
  EXPECT_EQ(found->name, "Ops room");
  EXPECT_EQ(found->next_offset, 11);
  EXPECT_EQ(find_chat(R"({"ok":true,"result":[]})", "471100")->chat_id, 0);
  EXPECT_FALSE(find_chat("{}", "471100"));
  EXPECT_FALSE(find_chat("", "471100"));
}

TEST(Init, WhatItWritesIsReadBackAsItWas) {
  const std::vector<std::pair<std::string, std::string>> settings{
      {"KATANA_TELEGRAM_TOKEN", "123:abc"}, {"OPENAI_API_KEY", "with # and \"quotes\" and \\"}};
  const auto back = config::parse_env(env_lines(settings), "test");
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->size(), 2u);
  for (const auto& [name, value] : settings)
    EXPECT_EQ(back->at(name), value);
}

TEST(Init, SettingsTakeThePlaceOfTheirExamples) {
  const std::string text =
      "# A file.\n#KATANA_EXPECT=<gateway>\nKATANA_QUEUE=5\n#KATANA_QUEUE=7\n\n# The end";
  EXPECT_EQ(
      with_settings(text, {{"KATANA_QUEUE", "6"}, {"KATANA_EXPECT", "gateway"}, {"SMTP_USER", "a b"}}),
      "# A file.\nKATANA_EXPECT=gateway\nKATANA_QUEUE=6\n#KATANA_QUEUE=7\n\n# The end\nSMTP_USER=\"a b\"\n");
  EXPECT_EQ(with_settings("#KATANA_QUEUE=7\nKATANA_QUEUE=5\n", {{"KATANA_QUEUE", "6"}}),
            "#KATANA_QUEUE=7\nKATANA_QUEUE=6\n");
  EXPECT_EQ(with_settings("", {{"KATANA_QUEUE", "6"}}), "KATANA_QUEUE=6\n");
}

class UpTest : public testing::Test {
 protected:
  UpTest() {
    settings.claude.on = true;
    settings.openai.on = true;
    settings.claude_workers = 2;
    settings.expect = {{"gateway", 1}, {"claude", 2}, {"openai", 1}};
    settings.state_dir = "/state";
    settings.run_dir = "/state/run";
    settings.instance = "mine";
  }
  static bool holds(const Program& p, const std::string& part) {
    return std::any_of(p.env.begin(), p.env.end(),
                       [&](const std::string& e) { return e.find(part) != std::string::npos; });
  }
  config::Settings settings;
  config::Environment env{{"KATANA_TELEGRAM_TOKEN", "users-token"},
                          {"ANTHROPIC_API_KEY", "claude-key"},
                          {"OPENAI_API_KEY", "openai-key"},
                          {"TELEGRAM_ALERT_BOT_TOKEN", "alert-token"},
                          {"SMTP_PASSWORD", "mail-password"},
                          {"KATANA_LOG_LEVEL", "debug"},
                          {"PATH", "/bin"},
                          {"SOMETHING_ELSE", "foreign"}};
};

TEST_F(UpTest, EachProcessSeesOnlyItsOwnSecrets) {
  auto all = programs_of(settings, env, "/bin");
  all.push_back(watchdog_of(settings, env, "/bin"));
  ASSERT_EQ(all.size(), 5u);
  const std::map<std::string, std::vector<std::string>> secrets{
      {"gateway", {"users-token"}},
      {"claude", {"claude-key"}},
      {"openai", {"openai-key"}},
      {"watchdog", {"alert-token", "mail-password"}}};
  for (const auto& program : all) {
    for (const auto& [component, own] : secrets)
      for (const auto& secret : own)
        EXPECT_EQ(holds(program, secret), component == program.component) << program.name;
    EXPECT_FALSE(holds(program, "foreign"));
    EXPECT_TRUE(holds(program, "KATANA_INSTANCE=" + program.name));
    EXPECT_TRUE(holds(program, "KATANA_LOG_LEVEL=debug"));
    for (const auto& arg : program.argv)
      for (const auto& [component, own] : secrets)
        for (const auto& secret : own)
          EXPECT_EQ(arg.find(secret), std::string::npos);
  }
  EXPECT_EQ(all[0].name, "gateway");
  EXPECT_TRUE(holds(all[0], "KATANA_PROVIDERS=claude,openai"));
  EXPECT_EQ(all[2].name, "claude-2");
  EXPECT_TRUE(holds(all[4], "KATANA_EXPECT=claude:2,gateway:1,openai:1"));
  EXPECT_EQ(all[4].argv.back(), "--supervise");
}

TEST_F(UpTest, AProviderThatIsOffIsNotStarted) {
  settings.openai.on = false;
  const auto all = programs_of(settings, env, "/bin");
  EXPECT_EQ(all.size(), 3u);
  EXPECT_TRUE(holds(all[0], "KATANA_PROVIDERS=claude"));
}

}  // namespace
}  // namespace katana::watchdog
