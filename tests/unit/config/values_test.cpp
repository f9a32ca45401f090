#include "common/config/values.hpp"

#include <gtest/gtest.h>

namespace katana::config {
namespace {

TEST(Values, Durations) {
  const auto parse = [](std::string_view t) { return parse_duration(t, Seconds{1}, Seconds{86400 * 30}); };
  EXPECT_EQ(parse("90s"), Seconds{90});
  EXPECT_EQ(parse("15m"), Seconds{900});
  EXPECT_EQ(parse("1h"), Seconds{3600});
  EXPECT_EQ(parse("30d"), Seconds{30 * 86400});
  for (const auto* bad : {"", "s", "5", "5 m", "-5m", "1w", "1.5h", "h1", "99999999999999999999s", "x90s"}) {
    ASSERT_FALSE(parse(bad)) << bad;
    EXPECT_EQ(parse(bad).error().detail,
              "\"" + std::string(bad) + "\" is no duration; write it such as 90s, 15m, 1h or 30d");
  }
  EXPECT_EQ(parse("0s").error().detail, "\"0s\" is out of range; set it between 1s and 30d");
  EXPECT_EQ(parse("31d").error().detail, "\"31d\" is out of range; set it between 1s and 30d");
}

TEST(Values, Budgets) {
  const auto tokens = [](std::string_view t) {
    auto b = parse_budget(t);
    EXPECT_TRUE(b && *b && (*b)->unit == Budget::Unit::Tokens) << t;
    return b && *b ? (*b)->amount : 0;
  };
  EXPECT_EQ(tokens("2M tokens"), 2'000'000U);
  EXPECT_EQ(tokens("200k tokens"), 200'000U);
  EXPECT_EQ(tokens("1.5M tokens"), 1'500'000U);
  EXPECT_EQ(tokens("12345 tokens"), 12'345U);
  EXPECT_EQ(tokens("2 m Tokens"), 2'000'000U);
  const auto usd = parse_budget("5 USD");
  ASSERT_TRUE(usd && *usd);
  EXPECT_EQ((*usd)->unit, Budget::Unit::MicroUsd);
  EXPECT_EQ((*usd)->amount, 5'000'000U);
  EXPECT_EQ(parse_budget("0.25usd").value()->amount, 250'000U);
  EXPECT_EQ(parse_budget("off").value(), std::nullopt);
  for (const auto* bad : {"", "5", "USD", "5 EUR", "0 USD", "-1 USD", "1e3 tokens", "2G tokens", "2M",
                          "inf USD", "1.2.3 USD", "9999999999999 tokens", "0.1 tokens", "$5"}) {
    EXPECT_FALSE(parse_budget(bad)) << bad;
  }
  EXPECT_EQ(parse_budget("5 EUR").error().detail,
            "\"5 EUR\" is no budget; write it such as 5 USD, 2M tokens or off");
}

TEST(Values, Limits) {
  const auto l = parse_limits("30, 0.5 ,20").value();
  EXPECT_EQ(l.bot_per_second, 30);
  EXPECT_EQ(l.chat_per_second, 0.5);
  EXPECT_EQ(l.group_per_minute, 20);
  EXPECT_EQ(parse_limits("off").value().bot_per_second, 0);
  for (const auto* bad :
       {"", "30", "30,1", "30,1,20,4", "30,0,20", "a,b,c", "30,1,-2", "nan,1,1", "1e9,1,1"}) {
    EXPECT_FALSE(parse_limits(bad)) << bad;
  }
}

TEST(Values, People) {
  EXPECT_EQ(parse_user_ids("1, 22 ,1,").value(), (std::vector<std::int64_t>{1, 22}));
  for (const auto* bad : {"0", "-5", "bob", "1 2", "1;2", "99999999999999999999"})
    EXPECT_FALSE(parse_user_ids(bad));
  EXPECT_EQ(parse_chat("-1001234").value(), "-1001234");
  EXPECT_NE(parse_chat("@ops_channel").error().detail.find("katana init"), std::string::npos)
      << "a resolution answers the first message by the chat's number";
  for (const auto* bad : {"", "0", "ops", "@", "@a b", "12x"})
    EXPECT_FALSE(parse_chat(bad)) << bad;
  EXPECT_EQ(parse_mail_address("ops@example.org").value(), "ops@example.org");
  for (const auto* bad : {"", "ops", "@x", "x@", "a@b@c", "Ops <ops@x>", "a b@c", "a@b,c"}) {
    EXPECT_FALSE(parse_mail_address(bad)) << bad;
  }
}

TEST(Values, Expectations) {
  EXPECT_EQ(parse_expect("gateway,claude:2, openai").value(),
            (std::map<std::string, int>{{"gateway", 1}, {"claude", 2}, {"openai", 1}}));
  for (const auto* bad : {"bird", "claude:0", "claude:x", "claude:", "gateway,gateway", "claude:65"}) {
    EXPECT_FALSE(parse_expect(bad)) << bad;
  }
  EXPECT_EQ(parse_providers("openai,claude").value(), (std::vector<std::string>{"openai", "claude"}));
  EXPECT_FALSE(parse_providers("claude,claude"));
  EXPECT_FALSE(parse_providers("gemini"));
  EXPECT_EQ(parse_words("anthropic_chat, notes").value(),
            (std::vector<std::string>{"anthropic_chat", "notes"}));
  EXPECT_FALSE(parse_words("no-dash"));
  EXPECT_EQ(parse_count("3", 1, 64).value(), 3);
  for (const auto* bad : {"", "0", "65", "3x", " 3"})
    EXPECT_FALSE(parse_count(bad, 1, 64)) << bad;
  EXPECT_TRUE(parse_model("vendor/model-1.5:free"));
  EXPECT_FALSE(parse_model("a model"));
  EXPECT_TRUE(parse_instance("claude-2"));
  EXPECT_FALSE(parse_instance("a/b"));
}

TEST(Values, Addresses) {
  EXPECT_EQ(parse_listen_address("127.0.0.1:9710").value(), "127.0.0.1:9710");
  EXPECT_EQ(parse_listen_address("[::1]:0").value(), "[::1]:0");
  EXPECT_EQ(parse_listen_address("0.0.0.0:1").value(), "0.0.0.0:1");
  EXPECT_EQ(parse_listen_address("localhost:1").value(), "localhost:1");
  EXPECT_EQ(parse_listen_address("off").value(), "");
  for (const char* name : {"gateway:9710", "127.1:9710", "[::g]:1", "nohost.invalid:9710"})
    EXPECT_FALSE(parse_listen_address(name)) << name;
  for (const auto* bad : {"", "9710", ":9710", "host", "host:", "host:70000", "::1:9710", "[]:1", "a b:1"}) {
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
  }
  EXPECT_EQ(parse_endpoint("ipc:///run/katana/jobs.ipc").value(), "ipc:///run/katana/jobs.ipc");
  EXPECT_EQ(parse_endpoint("tcp://*:5570").value(), "tcp://*:5570");
  EXPECT_EQ(parse_endpoint("tcp://[::]:5570").value(), "tcp://[::]:5570");
  for (const auto* bad : {"", "ipc://relative", "tcp://host", "tcp://host:0", "udp://host:1", "host:1"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
  EXPECT_TRUE(parse_endpoint("ipc:///" + std::string(106, 'x')));
  EXPECT_EQ(parse_endpoint("ipc:///" + std::string(107, 'x')).error().detail,
            "the socket's path has 108 bytes and the system allows 107; choose a shorter directory "
            "(KATANA_RUN_DIR)");
}

TEST(Values, Urls) {
  const auto url = parse_url("HTTPS://API.Example.org:8443/v1?x#y").value();
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "api.example.org");
  EXPECT_EQ(url.port, "8443");
  EXPECT_EQ(url.rest, "/v1?x#y");
  EXPECT_EQ(parse_url("http://[::1]/").value().host, "[::1]");
  for (const auto* bad : {"", "host", "://x", "http://", "http:///x", "http://h:99999/", "http://u@h/",
                          "http://h h/", "http://h\x01/", "http://h:x/"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
  EXPECT_EQ(parse_base_url("https://host/v1//").value(), "https://host/v1");
  for (const auto* bad : {"ftp://host", "https://host?x", "https://host#x"})
    EXPECT_FALSE(parse_base_url(bad)) << bad;
  EXPECT_EQ(parse_smtp_url("smtp://host:587").value(), "smtp://host:587");
  EXPECT_EQ(parse_smtp_url("smtps://host").value(), "smtps://host");
  EXPECT_EQ(parse_smtp_url("SMTP://host:587").value(), "smtp://host:587");
  for (const auto* bad : {"host:587", "http://host", "smtp://host/x", "smtp://user:pw@host"}) {
    EXPECT_FALSE(parse_smtp_url(bad)) << bad;
  }
  EXPECT_TRUE(parse_proxy("http://user:p@ss@host:3128"));
  EXPECT_TRUE(parse_proxy("socks5h://[::1]:1080/"));
  for (const auto* bad :
       {"host:1", "socks5://host:1", "http://host", "https://host:1", "http://u:p@:1", ""}) {
    EXPECT_FALSE(parse_proxy(bad)) << bad;
  }
}

TEST(Values, AnErrorShowsOnlyWhatIsTooShortForAKey) {
  EXPECT_EQ(shown("a\nb"), "\"a b\"");
  EXPECT_EQ(shown(std::string(25, 'k')), "the value");
  EXPECT_EQ(parse_key("short").error().detail.find("short"), std::string::npos);
  EXPECT_EQ(parse_proxy("http://u:hunter22@").error().detail.find("hunter"), std::string::npos);
}

}  // namespace
}  // namespace katana::config
