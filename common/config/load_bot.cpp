#include <algorithm>

#include "common/config/reader.hpp"
#include "common/core/host.hpp"

namespace katana::config {
namespace {

Result<std::string> parse_webhook_secret(std::string_view text) {
  const bool good = text.size() <= 256 && std::all_of(text.begin(), text.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '_' || c == '-';
                    });
  if (good) return std::string(text);
  return fail(Code::Rejected, "Telegram takes 1 to 256 letters, digits, _ and - here; choose another");
}

Result<std::string> parse_webhook_url(std::string_view text) {
  auto url = parse_base_url(text);
  if (!url) return url;
  if (text.starts_with("https://")) return url;
  return fail(Code::Rejected,
              "Telegram calls https:// only; write the public https:// address of the listener");
}

void read_telegram(Reader& in, Settings& s) {
  in.read_secret("KATANA_TELEGRAM_TOKEN", s.telegram.token, parse_bot_token);
  in.read("KATANA_TELEGRAM_API_URL", s.telegram.api_url, parse_base_url);
  in.read_secret("KATANA_TELEGRAM_PROXY", s.telegram.proxy, parse_proxy);
  in.read("KATANA_TELEGRAM_LIMITS", s.telegram.limits, parse_limits);
  in.read("KATANA_WEBHOOK_URL", s.telegram.webhook_url, parse_webhook_url);
  in.read_secret("KATANA_WEBHOOK_SECRET", s.telegram.webhook_secret, parse_webhook_secret);
  if (!s.telegram.webhook_url.empty()) s.telegram.webhook_http = "127.0.0.1:9711";
  in.read("KATANA_WEBHOOK_HTTP", s.telegram.webhook_http, parse_listen_address);
  if (!s.telegram.webhook_url.empty() && s.telegram.webhook_secret.empty()) {
    in.problem(
        "KATANA_WEBHOOK_SECRET",
        "not set, but KATANA_WEBHOOK_URL is: without it anybody could send updates; set it to a random word");
  }
  if (!s.telegram.webhook_url.empty() && s.telegram.webhook_http.empty()) {
    in.problem("KATANA_WEBHOOK_HTTP", "off, but KATANA_WEBHOOK_URL is set; give the listener's address");
  }
}

/// A provider's account. Its key may be hidden from this program; that one exists is enough to say that it is
/// on.
void read_provider(Reader& in, Provider& p, std::string_view key_name, std::string_view url_name,
                   std::string_view own_url, std::string_view own_host, std::string_view model_name) {
  p.base_url = std::string(own_url);
  in.read(url_name, p.base_url, parse_base_url);
  if (const auto text = in.secret_text(key_name)) {
    for (const auto& item : split_list(*text)) {
      auto key = parse_key(item);
      if (key) {
        p.keys.emplace_back(std::move(*key));
      } else {
        in.problem(key_name, key.error().detail);
      }
    }
  }
  in.read(model_name, p.model, parse_model);
  const auto url = parse_url(p.base_url);
  const bool own = url && url->host == own_host;
  p.on = !own || !p.keys.empty() || in.exists(key_name);
  if (url && url->scheme == "http" && !is_loopback(url->host) && !p.keys.empty()) {
    in.warn(url_name, "plain http:// to another machine: the key and the conversations travel unencrypted");
  }
}

void read_providers(Reader& in, Settings& s) {
  read_provider(in, s.claude, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com",
                "api.anthropic.com", "KATANA_CLAUDE_MODEL");
  read_provider(in, s.openai, "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1",
                "api.openai.com", "KATANA_OPENAI_MODEL");
  const auto openai_url = parse_url(s.openai.base_url);
  const bool vendor = openai_url && openai_url->host == "api.openai.com";
  s.openai.api = vendor ? OpenAiApi::Responses : OpenAiApi::Chat;
  static constexpr Choice<OpenAiApi> kApis[] = {{"responses", OpenAiApi::Responses},
                                                {"chat", OpenAiApi::Chat}};
  in.choose("OPENAI_API", s.openai.api, kApis);
  in.read_secret("KATANA_PROVIDER_PROXY", s.claude.proxy, parse_proxy);
  s.openai.proxy = s.claude.proxy;

  std::vector<std::string> told;
  if (in.read("KATANA_PROVIDERS", told, parse_providers)) {
    s.claude.on = std::find(told.begin(), told.end(), "claude") != told.end();
    s.openai.on = std::find(told.begin(), told.end(), "openai") != told.end();
  }
}

bool is_on(const Settings& s, std::string_view provider) {
  return provider == "claude" ? s.claude.on : s.openai.on;
}

std::string key_of(std::string_view provider) {
  return provider == "claude" ? "ANTHROPIC_API_KEY" : "OPENAI_API_KEY";
}

void read_routing(Reader& in, Settings& s) {
  s.default_provider = s.claude.on ? "claude" : (s.openai.on ? "openai" : "");
  const bool any = !s.default_provider.empty();
  if (const auto text = in.text("KATANA_DEFAULT_PROVIDER")) {
    if (*text != "claude" && *text != "openai") {
      in.problem("KATANA_DEFAULT_PROVIDER", shown(*text) + " is not one of claude, openai");
    } else if (any && !is_on(s, *text)) {
      in.problem("KATANA_DEFAULT_PROVIDER",
                 *text + " is off: set " + key_of(*text) + ", or choose the other one");
    } else {
      s.default_provider = *text;
    }
  }
  if (const auto text = in.text("KATANA_FALLBACK"); text && *text != "off") {
    auto order = parse_providers(*text);
    if (!order) {
      in.problem("KATANA_FALLBACK", order.error().detail + ", or off");
    } else {
      for (const auto& provider : *order) {
        if (is_on(s, provider)) {
          s.fallback.push_back(provider);
        } else {
          in.warn("KATANA_FALLBACK", provider + " is off and left out: set " + key_of(provider));
        }
      }
    }
  }
}

void read_people(Reader& in, Settings& s) {
  static constexpr Choice<Access> kAccess[] = {
      {"pairing", Access::Pairing}, {"allowlist", Access::Allowlist}, {"open", Access::Open}};
  in.choose("KATANA_ACCESS", s.access, kAccess);
  in.read("KATANA_ALLOWED_USERS", s.allowed_users, parse_user_ids);
  in.read("KATANA_ADMINS", s.admins, parse_user_ids);
  s.budget_day = Budget{Budget::Unit::Tokens, 2'000'000};
  s.budget_user_day = Budget{Budget::Unit::Tokens, 200'000};
  in.read("KATANA_BUDGET_DAY", s.budget_day, parse_budget);
  in.read("KATANA_BUDGET_MONTH", s.budget_month, parse_budget);
  in.read("KATANA_BUDGET_USER_DAY", s.budget_user_day, parse_budget);
  in.read("KATANA_BUDGET_USER_MONTH", s.budget_user_month, parse_budget);
}

void read_conversation(Reader& in, Settings& s) {
  static constexpr Choice<Streaming> kStreaming[] = {
      {"edit", Streaming::Edit}, {"draft", Streaming::Draft}, {"off", Streaming::Off}};
  static constexpr Choice<Uncertain> kUncertain[] = {{"resend", Uncertain::Resend}, {"ask", Uncertain::Ask}};
  in.choose("KATANA_STREAMING", s.streaming, kStreaming);
  in.choose("KATANA_UNCERTAIN", s.uncertain, kUncertain);
  in.read("KATANA_MAX_AGE", s.max_age,
          [](std::string_view t) { return parse_duration(t, Seconds{1}, Seconds{30 * 86400}); });
  in.read("KATANA_QUEUE", s.queue, [](std::string_view t) { return parse_count(t, 1, 1'000'000); });
  in.read("KATANA_RETENTION", s.retention,
          [](std::string_view t) { return parse_duration(t, Seconds{3600}, Seconds{3650 * 86400}); });
  if (const auto text = in.text("KATANA_JSON_COMMANDS"); text && *text != "off") {
    in.read("KATANA_JSON_COMMANDS", s.json_commands, parse_words);
  }
}

}  // namespace

Result<std::string> parse_bot_token(std::string_view text) {
  if (looks_like_bot_token(text)) return std::string(text);
  return fail(Code::Rejected,
              "not a bot token (expected digits:characters, as BotFather gives it); set it to the token from "
              "@BotFather");
}

void read_bot(Reader& in, Settings& s) {
  read_telegram(in, s);
  read_providers(in, s);
  read_routing(in, s);
  read_people(in, s);
  read_conversation(in, s);
}

}  // namespace katana::config
