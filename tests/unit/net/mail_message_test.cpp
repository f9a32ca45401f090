#include "common/net/mail_message.hpp"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace katana::net {
namespace {

using testing::HasSubstr;
using testing::Not;

MailMessage plain() {
  MailMessage m;
  m.from = "katana@example.org";
  m.to = {"ops@example.org"};
  m.subject = "gateway is down";
  m.text = "It is down.\nSince 3 minutes.\n";
  m.message_id = "k7m2xq9t.1@example.org";
  m.date = from_unix(1'790'000'000);
  return m;
}

TEST(MailMessage, APlainOneIsExactlyThis) {
  const auto out = compose(plain());
  ASSERT_TRUE(out) << out.error().detail;
  EXPECT_EQ(*out,
            "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"
            "Message-ID: <k7m2xq9t.1@example.org>\r\n"
            "From: <katana@example.org>\r\n"
            "To: <ops@example.org>\r\n"
            "Subject: gateway is down\r\n"
            "Auto-Submitted: auto-generated\r\n"
            "X-Auto-Response-Suppress: All\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n"
            "\r\n"
            "It is down.\r\nSince 3 minutes.\r\n");
}

TEST(MailMessage, TwoFormsOfTheSameTextAndAThread) {
  auto m = plain();
  m.from_name = "Katana watchdog";
  m.to.push_back("two@example.org");
  m.html = "<p>It is <b>down</b>.</p>";
  m.in_reply_to = "k7m2xq9t.0@example.org";
  m.references = {"a@b", "k7m2xq9t.0@example.org"};
  const auto out = compose(m);
  ASSERT_TRUE(out) << out.error().detail;
  EXPECT_THAT(*out, HasSubstr("From: \"Katana watchdog\" <katana@example.org>\r\n"));
  EXPECT_THAT(*out, HasSubstr("To: <ops@example.org>,\r\n <two@example.org>\r\n"));
  EXPECT_THAT(*out, HasSubstr("In-Reply-To: <k7m2xq9t.0@example.org>\r\n"
                              "References: <a@b>\r\n <k7m2xq9t.0@example.org>\r\n"));
  EXPECT_THAT(*out, HasSubstr("multipart/alternative; boundary=\"=_katana_alternative\"\r\n\r\n"
                              "--=_katana_alternative\r\nContent-Type: text/plain; charset=utf-8\r\n"));
  EXPECT_THAT(*out, HasSubstr("\r\n--=_katana_alternative\r\nContent-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(*out, testing::EndsWith("<p>It is <b>down</b>.</p>\r\n--=_katana_alternative--\r\n"));
}

TEST(MailMessage, HeadersBeyondAsciiBecomeEncodedWordsOfWholeCharacters) {
  auto m = plain();
  m.subject = "Störung";
  m.from_name = "Wächter";
  auto out = compose(m);
  ASSERT_TRUE(out);
  EXPECT_THAT(*out, HasSubstr("Subject: =?UTF-8?B?U3TDtnJ1bmc=?=\r\n"));
  EXPECT_THAT(*out, HasSubstr("From: =?UTF-8?B?V8OkY2h0ZXI=?= <katana@example.org>\r\n"));
  m.subject.clear();
  for (int i = 0; i < 40; ++i)
    m.subject += "ü€😀";
  out = compose(m);
  ASSERT_TRUE(out);
  const std::string words =
      out->substr(out->find("Subject: "), out->find("Auto-Submitted") - out->find("Subject: "));
  for (std::size_t at = 0; (at = words.find("=?UTF-8?B?", at)) != std::string::npos; at += 10) {
    const auto end = words.find("?=", at + 10);
    ASSERT_NE(end, std::string::npos);
    EXPECT_LE(end + 2 - at, 75u);
  }
  m.subject = "=?UTF-8?B?eA==?= looks encoded";
  out = compose(m);
  EXPECT_THAT(*out, Not(HasSubstr("Subject: =?UTF-8?B?eA==?= looks")));
}

TEST(MailMessage, BodiesAreQuotedPrintable) {
  auto m = plain();
  m.text = "tail \n1=2\n\x01\r\nü\n" + std::string(200, 'x') + "\n.\nFrom me";
  const auto out = compose(m);
  ASSERT_TRUE(out);
  const std::string body = out->substr(out->find("\r\n\r\n") + 4);
  EXPECT_THAT(body,
              testing::StartsWith("tail=20\r\n1=3D2\r\n=01\r\n=C3=BC\r\n" + std::string(75, 'x') + "=\r\n"));
  EXPECT_THAT(body, testing::EndsWith("\r\n.\r\nFrom me\r\n"));
  std::size_t from = 0;
  for (std::size_t end = 0; (end = body.find("\r\n", from)) != std::string::npos; from = end + 2) {
    EXPECT_LE(end - from, 76u);
  }
  for (const char c : *out)
    EXPECT_LT(static_cast<unsigned char>(c), 0x80);
}

TEST(MailMessage, WhatCouldForgeAHeaderIsRefusedAndNamed) {
  const std::vector<std::pair<const char*, std::function<void(MailMessage&)>>> cases = {
      {"subject", [](MailMessage& m) { m.subject = "a\r\nBcc: x@y"; }},
      {"subject", [](MailMessage& m) { m.subject = std::string("a\0b", 3); }},
      {"subject", [](MailMessage& m) { m.subject.assign(501, 'x'); }},
      {"sender's name", [](MailMessage& m) { m.from_name = "a\nb"; }},
      {"sender", [](MailMessage& m) { m.from = "a@b>\r\nBcc: <x@y"; }},
      {"sender", [](MailMessage& m) { m.from = ""; }},
      {"sender", [](MailMessage& m) { m.from = "nobody"; }},
      {"sender", [](MailMessage& m) { m.from = "bücher@example.org"; }},
      {"recipient", [](MailMessage& m) { m.to = {}; }},
      {"recipient",
       [](MailMessage& m) {
         m.to = {"a@b", "c@d, e@f"};
       }},
      {"message id", [](MailMessage& m) { m.message_id = ""; }},
      {"in-reply-to", [](MailMessage& m) { m.in_reply_to = "x\n@y"; }},
      {"reference",
       [](MailMessage& m) {
         m.references = {"x@y", "z"};
       }},
  };
  for (const auto& [names, spoil] : cases) {
    auto m = plain();
    spoil(m);
    const auto out = compose(m);
    ASSERT_FALSE(out) << names;
    EXPECT_EQ(out.error().code, Code::Rejected);
    EXPECT_THAT(out.error().detail, HasSubstr(names));
  }
}

}  // namespace
}  // namespace katana::net
