#include <unistd.h>

#include "common/config/reader.hpp"
#include "common/core/host.hpp"

namespace katana::config {
namespace {

Result<std::string> as_is(std::string_view text) {
  return std::string(text);
}

/// A URL that holds its own secret (a webhook's, a dead-man switch's): never shown.
Result<std::string> parse_secret_url(std::string_view text) {
  auto url = parse_url(text);
  if (!url) return fail(url.error());
  if (url->scheme == "https" || url->scheme == "http") return std::string(text);
  return fail(Code::Rejected, "the URL must begin with https:// (or http://)");
}

/// A program with its arguments; only that it can be run is checked.
Result<std::string> parse_command(std::string_view text) {
  const std::string program(text.substr(0, text.find(' ')));
  if (!program.starts_with('/') || access(program.c_str(), X_OK) != 0) {
    return fail(Code::Rejected, "its first word must be the absolute path of a program that may be executed");
  }
  return std::string(text);
}

/// The alert bot: its two names for each setting, and both or none.
void read_alert_bot(Reader& in, Alerts& a) {
  const bool first = in.read_secret("TELEGRAM_ALERT_BOT_TOKEN", a.telegram_token, parse_bot_token);
  if (!first) in.read_secret("TELEGRAM_BOT_TOKEN_ALERT", a.telegram_token, parse_bot_token);
  if (!in.read("TELEGRAM_ALERT_CHAT_ID", a.telegram_chat, parse_chat)) {
    in.read("TELEGRAM_CHAT_ID_ALERT", a.telegram_chat, parse_chat);
  }
  const bool has_token = in.exists("TELEGRAM_ALERT_BOT_TOKEN") || in.exists("TELEGRAM_BOT_TOKEN_ALERT");
  const bool has_chat = in.text("TELEGRAM_ALERT_CHAT_ID") || in.text("TELEGRAM_CHAT_ID_ALERT");
  if (!a.telegram_token.empty() && !has_chat) {
    in.problem("TELEGRAM_ALERT_CHAT_ID",
               "not set, but TELEGRAM_ALERT_BOT_TOKEN is; set it to the chat that alerts go to (katana init "
               "finds it)");
  }
  if (!a.telegram_chat.empty() && !has_token) {
    in.problem("TELEGRAM_ALERT_BOT_TOKEN",
               "not set, but TELEGRAM_ALERT_CHAT_ID is; make a second bot with @BotFather and set its token");
  }
  std::vector<std::string> unused;
  const auto users = find_secret(in.env(), "KATANA_TELEGRAM_TOKEN", unused);
  if (users && *users && !a.telegram_token.empty() && **users == a.telegram_token.reveal()) {
    in.problem(
        "TELEGRAM_ALERT_BOT_TOKEN",
        "is the users' bot (KATANA_TELEGRAM_TOKEN), and alerts must not depend on it; make a second bot with "
        "@BotFather");
  }
  in.read("KATANA_OPS_USERS", a.ops_users, parse_user_ids);
}

void read_mail(Reader& in, Alerts& a) {
  in.read("SMTP_URL", a.smtp_url, parse_smtp_url);
  in.read("SMTP_USER", a.smtp_user, as_is);
  in.read_secret("SMTP_PASSWORD", a.smtp_password, as_is);
  if (const auto file = in.text("SMTP_CA_FILE")) {
    a.smtp_ca_file = absolute_path(*file);
    if (access(a.smtp_ca_file.c_str(), R_OK) != 0)
      in.problem("SMTP_CA_FILE", "cannot read " + a.smtp_ca_file);
  }
  in.read("ALERT_EMAIL_FROM", a.email_from, parse_mail_address);
  if (const auto text = in.text("ALERT_EMAIL_TO")) {
    for (const auto& item : split_list(*text)) {
      auto address = parse_mail_address(item);
      if (address) {
        a.email_to.push_back(std::move(*address));
      } else {
        in.problem("ALERT_EMAIL_TO", address.error().detail);
      }
    }
    if (a.email_to.size() > 50) in.problem("ALERT_EMAIL_TO", "more than 50 addresses");
  }
  if (!a.email_to.empty() && !in.text("SMTP_URL")) {
    in.problem("SMTP_URL",
               "not set, but ALERT_EMAIL_TO is; set it to the mail server, such as smtp://host:587");
  }
  if (in.text("SMTP_URL") && !in.text("ALERT_EMAIL_TO")) {
    in.problem(
        "ALERT_EMAIL_TO",
        "not set, but SMTP_URL is: no mail would be sent; set it to who is told, or take SMTP_URL out");
  }
  if (!a.email_to.empty() && !in.text("ALERT_EMAIL_FROM")) {
    in.problem("ALERT_EMAIL_FROM", "not set, but ALERT_EMAIL_TO is; set it to the sender's address");
  }
  if (!a.smtp_user.empty() && a.smtp_password.empty() && !in.exists("SMTP_PASSWORD")) {
    in.problem("SMTP_PASSWORD", "not set, but SMTP_USER is; set both or neither");
  }
  if (a.smtp_user.empty() && !a.smtp_password.empty()) {
    in.problem("SMTP_USER", "not set, but SMTP_PASSWORD is; set both or neither");
  }
  const auto url = parse_url(a.smtp_url);
  a.smtp_may_be_plain = url && url->scheme == "smtp" && is_loopback(url->host) && a.smtp_password.empty();
}

}  // namespace

void read_alerts(Reader& in, Settings& s) {
  read_alert_bot(in, s.alerts);
  read_mail(in, s.alerts);
  in.read_secret("ALERT_COMMAND", s.alerts.command, parse_command);
  in.read_secret("ALERT_WEBHOOK_URL", s.alerts.webhook_url, parse_secret_url);
  in.read_secret("ALERT_WEBHOOK_KEY", s.alerts.webhook_key, as_is);
  in.read_secret("ALERT_DEADMAN_URL", s.alerts.deadman_url, parse_secret_url);
}

}  // namespace katana::config
