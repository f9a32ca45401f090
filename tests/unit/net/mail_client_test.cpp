#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/curl_client.hpp"
#include "tests/unit/net/peer.hpp"
#include "tests/unit/net/tls_mail_server.hpp"

namespace katana::net {
namespace {

using testing::HasSubstr;
using testing::Not;

struct MailTest : testing::Test {
  loop::Loop loop;
  CurlClient client{loop};

  static Mail mail(const std::string& url) {
    Mail m;
    m.url = url;
    m.from = "katana@example.org";
    m.to = {"ops@example.org", "two@example.org"};
    m.message = "Subject: x\r\n\r\nline\r\n.dot\r\n";
    return m;
  }
  Result<std::string> send(Mail m) {
    std::optional<Result<std::string>> got;
    auto call = client.send(std::move(m), [&](auto r) { got = std::move(r); });
    EXPECT_FALSE(got);
    if (!drive(loop, [&] { return got.has_value(); })) return fail(Code::Internal, "the test waited in vain");
    return std::move(*got);
  }
};

/// A mail server without TLS; `rules` may answer a command in another way.
struct PlainServer {
  using Rule = std::pair<std::string, std::string>;
  PlainServer(loop::Loop& loop, std::vector<Rule> r)
      : rules(std::move(r)),
        peer(
            loop, [this](Peer::Conn& c) { commands(c); },
            [this](Peer::Conn& c) { c.say(reply("", "220 test\r\n")); }) {}

  std::string reply(const std::string& command, const std::string& usual) {
    for (const auto& [to, text] : rules) {
      if (to == command) return text;
    }
    return usual;
  }
  void commands(Peer::Conn& c) {
    for (std::size_t end = 0; !c.closed && (end = c.in.find("\r\n")) != std::string::npos;) {
      const std::string line = c.in.substr(0, end);
      c.in.erase(0, end + 2);
      log += line + "\n";
      const std::string word = line.substr(0, 4);
      if (in_data) {
        if (line != ".") continue;
        in_data = false;
        c.say(reply("end", "250 2.0.0 Ok: queued as 4ABC\r\n"));
      } else if (word == "EHLO") {
        c.say(reply(word, "250-test\r\n250 SIZE 1000000\r\n"));
      } else if (word == "DATA") {
        const std::string answer = reply(word, "354 go on\r\n");
        in_data = answer.substr(0, 3) == "354";
        c.say(answer);
      } else if (word == "QUIT") {
        c.say("221 bye\r\n");
      } else {
        c.say(reply(word, "250 ok\r\n"));
      }
    }
  }
  [[nodiscard]] std::string url() const { return peer.origin("smtp"); }

  std::vector<Rule> rules;
  std::string log;
  bool in_data = false;
  Peer peer;
};

TEST_F(MailTest, OnLoopbackItMayBePlainAndTheLastReplyComesBack) {
  PlainServer server(loop, {});
  auto m = mail(server.url());
  m.allow_plain = true;
  const auto result = send(m);
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(*result, "250 2.0.0 Ok: queued as 4ABC");
  EXPECT_THAT(server.log, HasSubstr("MAIL FROM:<katana@example.org>"));
  EXPECT_THAT(server.log, HasSubstr("RCPT TO:<ops@example.org>\nRCPT TO:<two@example.org>\nDATA\n"));
  EXPECT_THAT(server.log, HasSubstr("Subject: x\n\nline\n..dot\n.\n"));
}

TEST_F(MailTest, WithoutStarttlsNothingIsSentInTheClear) {
  PlainServer server(loop, {});
  auto m = mail(server.url());
  m.user = "user";
  m.password = Secret("right");
  const auto result = send(m);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::Rejected);
  EXPECT_THAT(result.error().detail, HasSubstr("offers no STARTTLS"));
  EXPECT_THAT(server.log, Not(HasSubstr("AUTH")));
  EXPECT_THAT(server.log, Not(HasSubstr("MAIL")));
}

TEST_F(MailTest, RefusalsCarryTheServersWordsAndWhatToDo) {
  struct Case {
    const char* at;
    const char* says;
    Code code;
  };
  for (const auto& c : {Case{"MAIL", "550 5.7.1 not you\r\n", Code::Rejected},
                        Case{"RCPT", "550 5.1.1 no such user\r\n", Code::Rejected},
                        Case{"RCPT", "450 4.2.0 greylisted\r\n", Code::Overloaded},
                        Case{"MAIL", "530 5.7.0 authentication required\r\n", Code::Auth},
                        Case{"DATA", "451 4.3.0 later\r\n", Code::Overloaded},
                        Case{"end", "554 5.6.0 spam\r\n", Code::Rejected},
                        Case{"end", "452 4.3.1 disk full\r\n", Code::Overloaded}}) {
    PlainServer server(loop, {{c.at, c.says}});
    auto m = mail(server.url());
    m.allow_plain = true;
    const auto result = send(m);
    ASSERT_FALSE(result) << c.says;
    EXPECT_EQ(result.error().code, c.code) << c.says << result.error().detail;
    const std::string words = c.says;
    EXPECT_EQ(result.error().detail,
              server.url() + ": the server said: " + words.substr(0, words.size() - 2));
    EXPECT_EQ(result.error().never_left, std::string(c.at) != "end") << c.says;
  }
}

TEST_F(MailTest, ServersThatMisbehaveAreErrors) {
  auto m = mail("smtp://127.0.0.1:1");
  m.allow_plain = true;
  EXPECT_EQ(send(m).error().code, Code::Network);
  {
    Peer garbage(
        loop, [](Peer::Conn&) {}, [](Peer::Conn& c) { c.say("HTTP/1.1 400 Bad Request\r\n\r\n"); });
    m.url = garbage.origin("smtp");
    m.total_timeout = Millis{500};
    EXPECT_FALSE(send(m));
  }
  {
    Peer slammer(
        loop, [](Peer::Conn& c) { c.slam(); }, [](Peer::Conn& c) { c.say("220 hello\r\n"); });
    m.url = slammer.origin("smtp");
    EXPECT_EQ(send(m).error().code, Code::Network);
  }
  Peer silent(loop, [](Peer::Conn&) {});
  m.url = silent.origin("smtp");
  m.total_timeout = Millis{150};
  const auto error = send(m).error();
  EXPECT_EQ(error.code, Code::Timeout);
  EXPECT_TRUE(error.never_left);
}

TEST_F(MailTest, WhatCantBeMailIsRefusedBeforeAnyConnection) {
  const auto refused = [&](auto spoil, const char* why) {
    auto m = mail("smtp://127.0.0.1:1");
    spoil(m);
    const auto result = send(m);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::Rejected);
    EXPECT_THAT(result.error().detail, HasSubstr(why));
  };
  refused([](Mail& m) { m.url = "http://127.0.0.1"; }, "smtp://");
  refused([](Mail& m) { m.from = "a@b>\r\nRCPT TO:<x@y"; }, "sender");
  refused([](Mail& m) { m.to = {}; }, "recipients");
  refused([](Mail& m) { m.to = {"a b@c"}; }, "recipient");
  refused([](Mail& m) { m.message.assign((1 << 20) + 1, 'x'); }, "1048576");
  refused([](Mail& m) { m.allow_plain = true, m.password = Secret("p"); }, "without a password");
  refused([](Mail& m) { m.allow_plain = true, m.url = "smtp://mail.example.org:587"; }, "this machine");
  refused([](Mail& m) { m.allow_plain = true, m.url = "smtp://127.0.0.1.evil.example"; }, "this machine");
  refused([](Mail& m) { m.allow_plain = true, m.url = "smtp://127.evil.example:25"; }, "this machine");
}

TEST_F(MailTest, TheLoopTurnsWhileAServerThinksAboutItsVerdict) {
  Peer::Conn* conn = nullptr;
  PlainServer server(loop, {{"end", ""}});
  auto m = mail(server.url());
  m.allow_plain = true;
  std::optional<Result<std::string>> got;
  auto call = client.send(m, [&](auto r) { got = std::move(r); });
  ASSERT_TRUE(drive(loop, [&] { return server.log.find("\n.\n") != std::string::npos; }));
  conn = server.peer.conns.at(0).get();
  bool turned = false;
  auto timer = loop.after(Millis{20}, [&] { turned = true; });
  ASSERT_TRUE(drive(loop, [&] { return turned; }));
  EXPECT_FALSE(got);
  conn->say("250 2.0.0 at last\r\n");
  ASSERT_TRUE(drive(loop, [&] { return got.has_value(); }));
  EXPECT_EQ(got->value(), "250 2.0.0 at last");
}

TEST_F(MailTest, ADroppedMailSaysNothingAndLetsTheNextOneGo) {
  PlainServer deaf(loop, {{"EHLO", ""}});
  PlainServer server(loop, {});
  bool called = false;
  auto m = mail(deaf.url());
  m.allow_plain = true;
  auto call = client.send(m, [&](auto) { called = true; });
  ASSERT_TRUE(drive(loop, [&] { return deaf.log.find("EHLO") != std::string::npos; }));
  call.cancel();
  m.url = server.url();
  const auto next = send(m);
  EXPECT_TRUE(next) << next.error().detail;
  EXPECT_FALSE(called);
}

TEST(MailEnd, TheClientMayEndWithAMailUnderWay) {
  loop::Loop loop;
  PlainServer deaf(loop, {{"EHLO", ""}});
  auto client = std::make_unique<CurlClient>(loop);
  auto m = MailTest::mail(deaf.url());
  m.allow_plain = true;
  auto running = client->send(m, [](auto) { FAIL(); });
  auto waiting = client->send(m, [](auto) { FAIL(); });
  ASSERT_TRUE(drive(loop, [&] { return deaf.log.find("EHLO") != std::string::npos; }));
  client.reset();
  loop.run_once(Millis{1});
}

struct TlsMail : MailTest {
  TestCertificate certificate;
};

TEST_F(TlsMail, StarttlsThenAuthThenTheMail) {
  TlsMailServer server(certificate, false);
  auto m = mail("smtp://127.0.0.1:" + std::to_string(server.port));
  m.user = "user";
  m.password = Secret("right");
  m.ca_file = certificate.pem;
  const auto result = send(m);
  server.join();
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(*result, "250 2.0.0 Ok: queued as 4XYZ");
  EXPECT_LT(server.log.find("STARTTLS"), server.log.find("[tls]"));
  EXPECT_LT(server.log.find("[tls]"), server.log.find("AUTH PLAIN"));
  EXPECT_LT(server.log.find("AUTH PLAIN"), server.log.find("MAIL FROM"));
}

TEST_F(TlsMail, TlsFromTheStart) {
  TlsMailServer server(certificate, true);
  auto m = mail("smtps://127.0.0.1:" + std::to_string(server.port));
  m.ca_file = certificate.pem;
  const auto result = send(m);
  server.join();
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_THAT(server.log, testing::StartsWith("[tls]EHLO"));
}

TEST_F(TlsMail, AWrongPasswordIsAnAuthErrorWithoutThePassword) {
  TlsMailServer server(certificate, false);
  auto m = mail("smtp://127.0.0.1:" + std::to_string(server.port));
  m.user = "user";
  m.password = Secret("wrong-one");
  m.ca_file = certificate.pem;
  const auto result = send(m);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::Auth);
  EXPECT_TRUE(result.error().never_left);
  EXPECT_THAT(result.error().detail, HasSubstr("535 5.7.8 no"));
  EXPECT_THAT(result.error().detail, Not(HasSubstr("wrong-one")));
}

TEST_F(TlsMail, ACertificateThatNobodyVouchesForEndsIt) {
  TlsMailServer server(certificate, false);
  auto m = mail("smtp://127.0.0.1:" + std::to_string(server.port));
  m.user = "user";
  m.password = Secret("right");
  const auto result = send(m);
  server.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::Network);
  EXPECT_TRUE(result.error().never_left);
  EXPECT_THAT(result.error().detail, HasSubstr("certificate"));
  EXPECT_THAT(server.log, Not(HasSubstr("AUTH")));
}

}  // namespace
}  // namespace katana::net
