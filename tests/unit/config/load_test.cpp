#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/names.hpp"
#include "common/config/settings.hpp"
#include "tests/unit/config/place.hpp"

namespace katana::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kToken = "1234567890:ABCDEFGHIJKLMnopqrstuvwxyz123456789";
constexpr const char* kAlertToken = "9876543210:ABCDEFGHIJKLMnopqrstuvwxyz123456789";

Environment base() {
  return {{"KATANA_TELEGRAM_TOKEN", kToken}, {"ANTHROPIC_API_KEY", "sk-ant-12345678"}};
}

Settings good(Environment more, Program program = Program::Up) {
  more.merge(base());
  auto s = load(program, more);
  EXPECT_TRUE(s) << s.error().detail;
  return s.value_or(Settings{});
}

std::string refusal(Environment more, Program program = Program::Up) {
  more.merge(base());
  const auto s = load(program, more);
  EXPECT_FALSE(s);
  return s ? "" : s.error().detail;
}

TEST(Load, DefaultsAreThoseOfTheHandbook) {
  const auto s = good({}, Program::Gateway);
  EXPECT_EQ(s.telegram.token.reveal(), kToken);
  EXPECT_EQ(s.telegram.api_url, "https://api.telegram.org");
  EXPECT_EQ(s.telegram.limits.bot_per_second, 30);
  EXPECT_EQ(s.telegram.limits.chat_per_second, 1);
  EXPECT_EQ(s.telegram.limits.group_per_minute, 20);
  EXPECT_EQ(s.telegram.webhook_url, "");
  EXPECT_EQ(s.claude.base_url, "https://api.anthropic.com");
  EXPECT_EQ(s.openai.base_url, "https://api.openai.com/v1");
  EXPECT_EQ(s.openai.api, OpenAiApi::Responses);
  EXPECT_EQ(s.claude.model, "");
  EXPECT_TRUE(s.claude.on);
  EXPECT_FALSE(s.openai.on);
  EXPECT_EQ(s.default_provider, "claude");
  EXPECT_THAT(s.fallback, IsEmpty());
  EXPECT_EQ(s.access, Access::Pairing);
  EXPECT_EQ(s.budget_day->amount, 2'000'000U);
  EXPECT_EQ(s.budget_user_day->amount, 200'000U);
  EXPECT_FALSE(s.budget_month || s.budget_user_month);
  EXPECT_EQ(s.streaming, Streaming::Edit);
  EXPECT_EQ(s.uncertain, Uncertain::Resend);
  EXPECT_EQ(s.max_age, Seconds{3600});
  EXPECT_EQ(s.retention, Seconds{30 * 86400});
  EXPECT_EQ(s.state_dir, "/var/lib/katana");
  EXPECT_EQ(s.run_dir, "/run/katana");
  EXPECT_EQ(s.store.reveal(), "sqlite:/var/lib/katana/katana.db");
  EXPECT_THAT(s.bus, ElementsAre("ipc:///run/katana/jobs.ipc"));
  EXPECT_EQ(s.watch, "ipc:///run/katana/watch.ipc");
  EXPECT_EQ(s.gateway_http, "127.0.0.1:9710");
  EXPECT_EQ(s.watchdog_http, "127.0.0.1:9780");
  EXPECT_EQ(s.heartbeat_file, "/var/lib/katana/katana_heartbeat.txt");
  EXPECT_THAT(s.expect, IsEmpty());
  EXPECT_EQ(s.log_level, "info");
  EXPECT_EQ(s.log_format, LogFormat::Text);
  EXPECT_EQ(s.log_messages, LogMessages::Summary);
  EXPECT_THAT(s.json_commands, IsEmpty());
  EXPECT_EQ(s.claude_workers, 1);
  EXPECT_EQ(s.worker_jobs, 512);
  EXPECT_EQ(s.openai_workers, 1);
  EXPECT_EQ(s.worker_jobs, 512);
  EXPECT_THAT(s.warnings, IsEmpty());
}

TEST(Load, UpKeepsItsStateBesideTheCaller) {
  const std::string here = std::filesystem::current_path().string();
  const auto s = good({{"KATANA_CLAUDE_WORKERS", "3"}});
  EXPECT_EQ(s.state_dir, here + "/state");
  EXPECT_EQ(s.run_dir, here + "/state/run");
  EXPECT_THAT(s.bus, ElementsAre("ipc://" + here + "/state/run/jobs.ipc"));
  EXPECT_THAT(s.expect, ElementsAre(std::pair("claude", 3), std::pair("gateway", 1)));
  EXPECT_EQ(good({{"KATANA_STATE_DIR", "/srv/k/"}}).run_dir, "/srv/k/run");
  EXPECT_EQ(good({{"KATANA_RUN_DIR", "/srv/r"}}).state_dir, here + "/state");
}

TEST(Load, TheCommandFindsWhatIsRunningBesideIt) {
  const Place place;
  const std::string before = std::filesystem::current_path().string();
  EXPECT_EQ(load(Program::Tool, Environment{})->run_dir, "/run/katana");
  std::filesystem::create_directories(place.path() + "/state/run");
  EXPECT_EQ(load(Program::Tool, {{"KATANA_STATE_DIR", place.path() + "/state"}})->run_dir,
            place.path() + "/state/run");
  std::filesystem::current_path(place.path());
  const auto s = load(Program::Tool, Environment{});
  std::filesystem::current_path(before);
  EXPECT_EQ(s->run_dir, std::filesystem::canonical(place.path()).string() + "/state/run");
}

TEST(Load, TheTokenIsChecked) {
  EXPECT_EQ(refusal({{"KATANA_TELEGRAM_TOKEN", "hunter2"}}, Program::Gateway),
            "KATANA_TELEGRAM_TOKEN: not a bot token (expected digits:characters, as BotFather gives it); set "
            "it to the "
            "token from @BotFather");
  EXPECT_EQ(load(Program::Gateway, {{"ANTHROPIC_API_KEY", "sk-ant-12345678"}}).error().detail,
            "KATANA_TELEGRAM_TOKEN: not set; set it to the token from @BotFather (or run: katana init)");
  EXPECT_EQ(good({{"KATANA_TELEGRAM_TOKEN", std::string("  ") + kToken + " \n"}}).telegram.token.reveal(),
            kToken);
}

TEST(Load, ATokenWithoutAnyProviderIsRefused) {
  const auto s = load(Program::Gateway, {{"KATANA_TELEGRAM_TOKEN", kToken}});
  ASSERT_FALSE(s);
  EXPECT_TRUE(s.error().detail.starts_with("ANTHROPIC_API_KEY: no provider is on; set ")) << s.error().detail;
  EXPECT_FALSE(s.error().detail.find(kToken) != std::string::npos);
  EXPECT_EQ(problems_of(Program::Up, {}).size(), 2U);
}

TEST(Load, AProviderIsOnByAKeyOrByAnotherServer) {
  const auto local = good({{"OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/"}});
  EXPECT_TRUE(local.openai.on);
  EXPECT_THAT(local.openai.keys, IsEmpty());
  EXPECT_EQ(local.openai.base_url, "http://127.0.0.1:11434/v1");
  EXPECT_EQ(local.openai.api, OpenAiApi::Chat);
  EXPECT_EQ(local.default_provider, "claude");
  EXPECT_FALSE(good({{"OPENAI_BASE_URL", "https://API.openai.com/v1/"}}).openai.on);
  EXPECT_EQ(good({{"OPENAI_BASE_URL", "http://h"}, {"OPENAI_API", "responses"}}).openai.api,
            OpenAiApi::Responses);
  EXPECT_EQ(refusal({{"OPENAI_API", "completions"}}),
            "OPENAI_API: \"completions\" is not one of responses, chat");
  EXPECT_EQ(good({{"ANTHROPIC_API_KEY", "key-number-1, key-number-2"}}).claude.keys.size(), 2U);
  EXPECT_EQ(
      refusal({{"ANTHROPIC_API_KEY", "two words"}}),
      "ANTHROPIC_API_KEY: not a key (8 to 512 printable characters without blanks); copy it again from the "
      "provider's console");
  EXPECT_TRUE(
      refusal({{"ANTHROPIC_BASE_URL", "api.anthropic.com"}}).starts_with("ANTHROPIC_BASE_URL: not a URL"));
}

TEST(Load, TheGatewayKnowsThatAKeyExistsButNotTheKey) {
  const auto s = good({}, Program::Gateway);
  EXPECT_TRUE(s.claude.on);
  EXPECT_THAT(s.claude.keys, IsEmpty());
  const auto told =
      load(Program::Gateway, {{"KATANA_TELEGRAM_TOKEN", kToken}, {"KATANA_PROVIDERS", "openai"}});
  ASSERT_TRUE(told) << told.error().detail;
  EXPECT_TRUE(told->openai.on);
  EXPECT_FALSE(told->claude.on);
  EXPECT_EQ(told->default_provider, "openai");
}

TEST(Load, AWorkerSeesItsOwnPartAlone) {
  const auto s =
      good({{"SMTP_PASSWORD", "geheim-geheim"}, {"OPENAI_API_KEY", "sk-12345678"}}, Program::Claude);
  EXPECT_TRUE(s.telegram.token.empty());
  EXPECT_EQ(s.claude.keys.size(), 1U);
  EXPECT_THAT(s.openai.keys, IsEmpty());
  EXPECT_TRUE(s.alerts.smtp_password.empty());
  EXPECT_THAT(secrets_of(s), ElementsAre(Secret("sk-ant-12345678")));
  EXPECT_FALSE(load(Program::Claude, Environment{})->claude.on);
  EXPECT_TRUE(load(Program::Claude, {{"KATANA_TELEGRAM_TOKEN", "not one"}})) << "another program's affair";
}

TEST(Load, Routing) {
  const Environment both{{"OPENAI_API_KEY", "sk-12345678"}};
  auto env = both;
  env["KATANA_DEFAULT_PROVIDER"] = "openai";
  env["KATANA_FALLBACK"] = "claude,openai";
  env["KATANA_CLAUDE_MODEL"] = "claude-haiku-5-5";
  env["KATANA_OPENAI_MODEL"] = "gpt-5.5";
  const auto s = good(env);
  EXPECT_EQ(s.default_provider, "openai");
  EXPECT_THAT(s.fallback, ElementsAre("claude", "openai"));
  EXPECT_EQ(s.claude.model, "claude-haiku-5-5");
  EXPECT_EQ(s.openai.model, "gpt-5.5");
  EXPECT_EQ(refusal({{"KATANA_DEFAULT_PROVIDER", "openai"}}),
            "KATANA_DEFAULT_PROVIDER: openai is off: set OPENAI_API_KEY, or choose the other one");
  EXPECT_EQ(refusal({{"KATANA_DEFAULT_PROVIDER", "bird"}}),
            "KATANA_DEFAULT_PROVIDER: \"bird\" is not one of claude, openai");
  EXPECT_EQ(refusal({{"KATANA_FALLBACK", "bird"}}),
            "KATANA_FALLBACK: \"bird\" is not understood; name claude and openai, each once, or off");
  EXPECT_THAT(good({{"KATANA_FALLBACK", "claude,openai"}}).warnings,
              Contains("KATANA_FALLBACK: openai is off and left out: set OPENAI_API_KEY"));
  EXPECT_THAT(good({{"KATANA_FALLBACK", "off"}}).fallback, IsEmpty());
  EXPECT_TRUE(refusal({{"KATANA_CLAUDE_MODEL", "a b"}}).starts_with("KATANA_CLAUDE_MODEL: "));
  EXPECT_TRUE(refusal({{"KATANA_OPENAI_MODEL", "a b"}}).starts_with("KATANA_OPENAI_MODEL: "));
  EXPECT_TRUE(refusal({{"KATANA_PROVIDERS", "bird"}}).starts_with("KATANA_PROVIDERS: "));
}

TEST(Load, PlacesThatCannotBeAreRefusedBeforeAnythingIsStarted) {
  const auto refused = [](const char* name, const std::string& value) {
    const std::string why = refusal({{name, value}});
    return why.starts_with(std::string(name) + ": ") ? why : "not refused: " + why;
  };
  EXPECT_THAT(refused("KATANA_STORE", "sqlite:/tmp"), HasSubstr("/tmp is no file"));
  EXPECT_THAT(refused("KATANA_BUS", "ipc:///nowhere/at/all/x.ipc"), HasSubstr("/nowhere/at/all"));
  EXPECT_THAT(refused("KATANA_HEARTBEAT_FILE", "/nowhere/at/all/beat"), HasSubstr("/nowhere/at/all"));
}

TEST(Load, AModelOfTheOtherVendorIsRefusedAndAnUnknownOneIsSaid) {
  EXPECT_THAT(refusal({{"KATANA_CLAUDE_MODEL", "gpt-6.1-terra"}}), HasSubstr("a model of openai"));
  EXPECT_THAT(good({{"KATANA_CLAUDE_MODEL", "claude-sonet-5"}}).warnings,
              Contains(HasSubstr("isn't in the table of models")));
  EXPECT_THAT(
      good({{"KATANA_CLAUDE_MODEL", "llama"}, {"ANTHROPIC_BASE_URL", "http://127.0.0.1:8081"}}).warnings,
      Not(Contains(HasSubstr("table of models"))));
}

TEST(Load, EachSettingTakesItsValue) {
  const Place models;
  models.file("models.toml", "");
  const auto s = good({{"KATANA_TELEGRAM_API_URL", "http://localhost:8081"},
                       {"KATANA_TELEGRAM_PROXY", "socks5h://u:p@127.0.0.1:1080"},
                       {"KATANA_PROVIDER_PROXY", "http://127.0.0.1:3128"},
                       {"KATANA_TELEGRAM_LIMITS", "off"},
                       {"KATANA_MODELS", models.path() + "/models.toml"},
                       {"KATANA_ACCESS", "allowlist"},
                       {"KATANA_ALLOWED_USERS", "7,8"},
                       {"KATANA_ADMINS", "7"},
                       {"KATANA_BUDGET_DAY", "5 USD"},
                       {"KATANA_BUDGET_MONTH", "50 USD"},
                       {"KATANA_BUDGET_USER_DAY", "off"},
                       {"KATANA_BUDGET_USER_MONTH", "1M tokens"},
                       {"KATANA_STREAMING", "draft"},
                       {"KATANA_UNCERTAIN", "ask"},
                       {"KATANA_MAX_AGE", "10m"},
                       {"KATANA_RETENTION", "7d"},
                       {"KATANA_STORE", "sqlite:my.db"},
                       {"KATANA_BUS", "ipc:///run/a,ipc:///run/b"},
                       {"KATANA_WATCH", "ipc:///run/w"},
                       {"KATANA_GATEWAY_HTTP", "off"},
                       {"KATANA_WATCHDOG_HTTP", "[::1]:80"},
                       {"KATANA_WATCHDOG_TOKEN", "sixteen-or-more-characters"},
                       {"KATANA_WEBHOOK_URL", "https://bot.example.org/hook"},
                       {"KATANA_WEBHOOK_SECRET", "word_1-2"},
                       {"KATANA_HEARTBEAT_FILE", "/tmp/beat.txt"},
                       {"KATANA_EXPECT", "gateway,claude:2"},
                       {"KATANA_INSTANCE", "gateway-a"},
                       {"KATANA_LOG_LEVEL", "debug"},
                       {"KATANA_LOG_FORMAT", "json"},
                       {"KATANA_LOG_MESSAGES", "full"},
                       {"KATANA_JSON_COMMANDS", "anthropic_chat,notes"},
                       {"KATANA_CLAUDE_WORKERS", "2"},
                       {"KATANA_OPENAI_WORKERS", "4"},
                       {"KATANA_WORKER_JOBS", "64"},
                       {"KATANA_WORKER_JOBS", "64"},
                       {"KATANA_STATE_DIR", "/srv/k"}});
  EXPECT_EQ(s.telegram.api_url, "http://localhost:8081");
  EXPECT_EQ(s.telegram.proxy.reveal(), "socks5h://u:p@127.0.0.1:1080");
  EXPECT_EQ(s.claude.proxy.reveal(), "http://127.0.0.1:3128");
  EXPECT_EQ(s.openai.proxy.reveal(), "http://127.0.0.1:3128");
  EXPECT_EQ(s.telegram.limits.group_per_minute, 0);
  EXPECT_EQ(s.models_file, models.path() + "/models.toml");
  EXPECT_EQ(s.access, Access::Allowlist);
  EXPECT_THAT(s.allowed_users, ElementsAre(7, 8));
  EXPECT_THAT(s.admins, ElementsAre(7));
  EXPECT_EQ(s.budget_day->unit, Budget::Unit::MicroUsd);
  EXPECT_EQ(s.budget_month->amount, 50'000'000U);
  EXPECT_FALSE(s.budget_user_day);
  EXPECT_EQ(s.budget_user_month->amount, 1'000'000U);
  EXPECT_EQ(s.streaming, Streaming::Draft);
  EXPECT_EQ(s.uncertain, Uncertain::Ask);
  EXPECT_EQ(s.max_age, Seconds{600});
  EXPECT_EQ(s.retention, Seconds{7 * 86400});
  EXPECT_EQ(s.store.reveal(), "sqlite:/srv/k/my.db");
  EXPECT_THAT(s.bus, ElementsAre("ipc:///run/a", "ipc:///run/b"));
  EXPECT_EQ(s.watch, "ipc:///run/w");
  EXPECT_EQ(s.gateway_http, "");
  EXPECT_EQ(s.watchdog_http, "[::1]:80");
  EXPECT_EQ(s.watchdog_token.reveal(), "sixteen-or-more-characters");
  EXPECT_EQ(s.telegram.webhook_url, "https://bot.example.org/hook");
  EXPECT_EQ(s.telegram.webhook_http, "127.0.0.1:9711");
  EXPECT_EQ(s.telegram.webhook_secret.reveal(), "word_1-2");
  EXPECT_EQ(s.heartbeat_file, "/tmp/beat.txt");
  EXPECT_THAT(s.expect, ElementsAre(std::pair("claude", 2), std::pair("gateway", 1)));
  EXPECT_EQ(s.instance, "gateway-a");
  EXPECT_EQ(s.log_level, "debug");
  EXPECT_EQ(s.log_format, LogFormat::Json);
  EXPECT_EQ(s.log_messages, LogMessages::Full);
  EXPECT_THAT(s.json_commands, ElementsAre("anthropic_chat", "notes"));
  EXPECT_EQ(s.claude_workers, 2);
  EXPECT_EQ(s.openai_workers, 4);
  EXPECT_EQ(s.worker_jobs, 64);
}

TEST(Load, EachSettingsRefusalBeginsWithItsName) {
  const std::pair<const char*, const char*> cases[] = {{"KATANA_TELEGRAM_API_URL", "ftp://x"},
                                                       {"KATANA_TELEGRAM_PROXY", "socks5://x:1"},
                                                       {"KATANA_PROVIDER_PROXY", "x"},
                                                       {"KATANA_TELEGRAM_LIMITS", "30"},
                                                       {"KATANA_ACCESS", "everybody"},
                                                       {"KATANA_ALLOWED_USERS", "bob"},
                                                       {"KATANA_ADMINS", "-1"},
                                                       {"KATANA_BUDGET_DAY", "5"},
                                                       {"KATANA_BUDGET_MONTH", "x"},
                                                       {"KATANA_BUDGET_USER_DAY", "-5 USD"},
                                                       {"KATANA_BUDGET_USER_MONTH", "5 EUR"},
                                                       {"KATANA_STREAMING", "yes"},
                                                       {"KATANA_UNCERTAIN", "maybe"},
                                                       {"KATANA_MAX_AGE", "soon"},
                                                       {"KATANA_RETENTION", "1s"},
                                                       {"KATANA_STORE", "mysql://x"},
                                                       {"KATANA_BUS", "jobs"},
                                                       {"KATANA_WATCH", "watch"},
                                                       {"KATANA_KEYS", "/nowhere/keys"},
                                                       {"KATANA_GATEWAY_HTTP", "9710"},
                                                       {"KATANA_WATCHDOG_HTTP", "x"},
                                                       {"KATANA_WATCHDOG_TOKEN", "short"},
                                                       {"KATANA_WEBHOOK_URL", "http://x"},
                                                       {"KATANA_WEBHOOK_HTTP", "x"},
                                                       {"KATANA_WEBHOOK_SECRET", "with blank"},
                                                       {"KATANA_EXPECT", "bird"},
                                                       {"KATANA_INSTANCE", "a b"},
                                                       {"KATANA_LOG_LEVEL", "loud"},
                                                       {"KATANA_LOG_FORMAT", "xml"},
                                                       {"KATANA_LOG_MESSAGES", "some"},
                                                       {"KATANA_JSON_COMMANDS", "rm -rf"},
                                                       {"KATANA_CLAUDE_WORKERS", "0"},
                                                       {"KATANA_OPENAI_WORKERS", "many"},
                                                       {"KATANA_WORKER_JOBS", "0"},
                                                       {"KATANA_WORKER_JOBS", "0"},
                                                       {"KATANA_OPS_USERS", "bob"},
                                                       {"TELEGRAM_ALERT_BOT_TOKEN", "x"},
                                                       {"TELEGRAM_ALERT_CHAT_ID", "ops"},
                                                       {"SMTP_URL", "mail.example.org"},
                                                       {"SMTP_CA_FILE", "/nowhere.pem"},
                                                       {"ALERT_EMAIL_FROM", "ops"},
                                                       {"ALERT_EMAIL_TO", "ops"},
                                                       {"ALERT_COMMAND", "page-me"},
                                                       {"ALERT_WEBHOOK_URL", "x"},
                                                       {"ALERT_DEADMAN_URL", "x"}};
  for (const auto& [name, value] : cases) {
    const auto line = refusal({{name, value}});
    EXPECT_TRUE(line.starts_with(std::string(name) + ": ")) << name << " -> " << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_TRUE(load(Program::Tool, {{name, value}})) << name << ": the command starts anyway";
  }
  EXPECT_TRUE(refusal({{"KATANA_ACCESS", "a\nb"}}).starts_with("KATANA_ACCESS: must be one line"));
  EXPECT_TRUE(refusal({{"KATANA_ACCESS", "\xFF"}}).starts_with("KATANA_ACCESS: must be one line of UTF-8"));
}

TEST(Load, NoRefusalShowsASecret) {
  const std::string secret = "hunter2hunter2 hunter2hunter2";
  for (const Name& n : all_names()) {
    if (!n.secret) continue;
    for (const auto& problem : problems_of(Program::Up, {{std::string(n.name), secret}})) {
      EXPECT_EQ(problem.find("hunter2"), std::string::npos) << problem;
    }
  }
}

TEST(Load, TheBusNeedsKeysBeyondThisMachine) {
  EXPECT_EQ(refusal({{"KATANA_BUS", "tcp://10.0.0.1:5570"}}, Program::Claude),
            "KATANA_BUS: tcp:// always needs keys; make them with katana keygen and set KATANA_KEYS to their "
            "directory");
  const Place keys;
  EXPECT_THAT(refusal({{"KATANA_KEYS", keys.path()}}, Program::Claude), testing::HasSubstr("holds no key"));
  keys.file("worker.secret", "");
  const auto s =
      good({{"KATANA_BUS", "tcp://10.0.0.1:5570,tcp://10.0.0.2:5570"}, {"KATANA_KEYS", keys.path()}},
           Program::Claude);
  EXPECT_THAT(s.bus, ElementsAre("tcp://10.0.0.1:5570", "tcp://10.0.0.2:5570"));
  EXPECT_EQ(refusal({{"KATANA_BUS", "ipc:///a,ipc:///b"}}, Program::Gateway),
            "KATANA_BUS: give one endpoint to the gateway, and 1 to 16 by comma to the others");
  EXPECT_EQ(
      refusal({{"KATANA_RUN_DIR", "/" + std::string(93, 'x')}}),
      "KATANA_RUN_DIR: too long a path for sockets (94 bytes, 93 at most); set KATANA_RUN_DIR to a shorter "
      "directory");
}

TEST(Load, AWebhookNeedsItsSecret) {
  EXPECT_TRUE(
      refusal({{"KATANA_WEBHOOK_URL", "https://x"}}).starts_with("KATANA_WEBHOOK_SECRET: not set, but"));
  EXPECT_TRUE(refusal({{"KATANA_WEBHOOK_URL", "https://x"},
                       {"KATANA_WEBHOOK_SECRET", "s"},
                       {"KATANA_WEBHOOK_HTTP", "off"}})
                  .starts_with("KATANA_WEBHOOK_HTTP: off, but"));
}

TEST(Load, TheAlertBotIsWholeAndAnotherOne) {
  const auto s = good({{"TELEGRAM_BOT_TOKEN_ALERT", kAlertToken}, {"TELEGRAM_CHAT_ID_ALERT", "-100"}});
  EXPECT_EQ(s.alerts.telegram_token.reveal(), kAlertToken);
  EXPECT_EQ(s.alerts.telegram_chat, "-100");
  EXPECT_TRUE(refusal({{"TELEGRAM_ALERT_BOT_TOKEN", kAlertToken}})
                  .starts_with("TELEGRAM_ALERT_CHAT_ID: not set, but"));
  EXPECT_TRUE(
      refusal({{"TELEGRAM_ALERT_CHAT_ID", "5"}}).starts_with("TELEGRAM_ALERT_BOT_TOKEN: not set, but"));
  EXPECT_TRUE(
      refusal({{"TELEGRAM_ALERT_BOT_TOKEN", kToken}, {"TELEGRAM_ALERT_CHAT_ID", "5"}}, Program::Watchdog)
          .starts_with("TELEGRAM_ALERT_BOT_TOKEN: is the users' bot"));
}

TEST(Load, MailIsWhole) {
  const Environment whole{{"SMTP_URL", "smtp://mail.example.org:587"},
                          {"SMTP_USER", "ops"},
                          {"SMTP_PASSWORD", "geheim"},
                          {"ALERT_EMAIL_FROM", "katana@example.org"},
                          {"ALERT_EMAIL_TO", "a@example.org, b@example.org"}};
  const auto s = good(whole, Program::Watchdog);
  EXPECT_THAT(s.alerts.email_to, ElementsAre("a@example.org", "b@example.org"));
  EXPECT_FALSE(s.alerts.smtp_may_be_plain);
  const auto without = [&](const char* name) {
    auto env = whole;
    env.erase(name);
    return refusal(env, Program::Watchdog);
  };
  EXPECT_TRUE(without("SMTP_URL").starts_with("SMTP_URL: not set, but ALERT_EMAIL_TO is"));
  EXPECT_TRUE(without("ALERT_EMAIL_FROM").starts_with("ALERT_EMAIL_FROM: not set, but ALERT_EMAIL_TO is"));
  EXPECT_EQ(without("SMTP_PASSWORD"), "SMTP_PASSWORD: not set, but SMTP_USER is; set both or neither");
  EXPECT_EQ(without("SMTP_USER"), "SMTP_USER: not set, but SMTP_PASSWORD is; set both or neither");
  EXPECT_TRUE(without("ALERT_EMAIL_TO").starts_with("ALERT_EMAIL_TO: not set, but SMTP_URL is"));
  const auto may_be_plain = [](const char* url) {
    return good({{"SMTP_URL", url},
                 {"ALERT_EMAIL_FROM", "a@example.org"},
                 {"ALERT_EMAIL_TO", "b@example.org"}})
        .alerts.smtp_may_be_plain;
  };
  EXPECT_TRUE(may_be_plain("smtp://127.0.0.1:2525"));
  EXPECT_FALSE(may_be_plain("smtp://10.0.0.1:25"));
  EXPECT_FALSE(may_be_plain("smtps://127.0.0.1:465"));
}

TEST(Load, StrayNamesAndPlainHttpWarn) {
  const auto s = good({{"KATANA_TELEGRAM_TOKN", "x"},
                       {"LOG_LEVEL", "x"},
                       {"SOMETHING_ELSE", "x"},
                       {"KATANA_TELEGRAM_API_URL", "http://10.0.0.1"}});
  EXPECT_EQ(s.warnings.size(), 3U);
  EXPECT_THAT(s.warnings, Contains("KATANA_TELEGRAM_TOKN: not a setting of Katana and ignored; did you mean "
                                   "KATANA_TELEGRAM_TOKEN?"));
}

TEST(Load, TheExampleFileNamesEverySettingAndItsDefaultsAreTaken) {
  std::ifstream file(std::string(KATANA_SOURCE_DIR) + "/deploy/katana.env.example");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const Name& n : all_names()) {
    const bool alias = n.name == "TELEGRAM_BOT_TOKEN_ALERT" || n.name == "TELEGRAM_CHAT_ID_ALERT";
    EXPECT_EQ(text.find("\n#" + std::string(n.name) + "=") != std::string::npos, !alias) << n.name;
  }
  EXPECT_EQ(parse_env(text, "example").value(), Environment{}) << "nothing is set as shipped";
  std::string uncommented;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool example = line.find("=<") != std::string::npos;
    if (line.starts_with("#") && !line.starts_with("# ") && line.find('=') != std::string::npos && !example) {
      uncommented += line.substr(1) + "\n";
    }
  }
  auto env = parse_env(uncommented, "example");
  ASSERT_TRUE(env) << env.error().detail;
  EXPECT_GT(env->size(), 50U);
  std::erase_if(*env, [](const auto& setting) { return setting.second.empty(); });
  const auto s = good(*env, Program::Gateway);
  const auto defaults = good({}, Program::Gateway);
  EXPECT_EQ(s.store, defaults.store);
  EXPECT_EQ(s.bus, defaults.bus);
  EXPECT_EQ(s.budget_day->amount, defaults.budget_day->amount);
  EXPECT_EQ(s.max_age, defaults.max_age);
}

TEST(Load, WhatNothingObeysYetIsSaidToWhoeverSetsIt) {
  for (const Name& n : all_names()) {
    const auto s = load(Program::Tool, {{std::string(n.name), "1"}});
    const auto line = std::string(n.name) + ": understood, but this version does not act on it yet";
    EXPECT_EQ(std::count(s->warnings.begin(), s->warnings.end(), line), n.inert ? 1 : 0) << n.name;
  }
}

TEST(Load, LinksInAlertsBeginWithThePagesAddress) {
  EXPECT_EQ(good({}, Program::Watchdog).page_url, "http://127.0.0.1:9780");
  EXPECT_EQ(good({{"KATANA_WATCHDOG_HTTP", "off"}}, Program::Watchdog).page_url, "");
  EXPECT_EQ(good({{"KATANA_PAGE_URL", "https://ops.example.org/katana/"}}, Program::Watchdog).page_url,
            "https://ops.example.org/katana");
}

TEST(Load, AStoreThatIsNotBuiltInIsRefusedBeforeTheStart) {
  for (const char* url : {"postgresql://db/katana", "postgres://db/katana"}) {
    EXPECT_EQ(refusal({{"KATANA_STORE", url}}, Program::Gateway),
              "KATANA_STORE: this version has only SQLite; write sqlite:PATH");
  }
}

TEST(Load, TheCommandIsToldEverythingButStarts) {
  const auto s = load(Program::Tool, {{"KATANA_ACCESS", "x"}});
  ASSERT_TRUE(s);
  EXPECT_EQ(s->access, Access::Pairing);
  EXPECT_THAT(s->warnings, Contains("KATANA_ACCESS: \"x\" is not one of pairing, allowlist, open"));
}

}  // namespace
}  // namespace katana::config
