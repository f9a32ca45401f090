#include "watchdog/cli/init.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config/command_line.hpp"
#include "common/config/names.hpp"
#include "common/core/id.hpp"
#include "common/core/text.hpp"
#include "watchdog/channels/disk.hpp"
#include "watchdog/cli/prompt.hpp"
#include "watchdog/cli/try.hpp"

namespace katana::watchdog {
namespace {

constexpr int kTries = 3;             // wrong answers at a terminal
constexpr Seconds kMessageWait{180};  // for the message to the alert bot
constexpr Seconds kPollWait{10};

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

std::string from_environment(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value && *value ? value : fallback;
}

/// A line's value, in quotes where it needs them.
std::string env_value(const std::string& value) {
  if (value.find_first_of(" #'\"\\$\t") == std::string::npos) return value;
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

/// The conversation with the person, and what it has found so far. `installed`: for the Debian package.
class Init {
 public:
  Init(std::string path, bool installed, bool force)
      : path_(std::move(path)), installed_(installed), force_(force) {}

  Result<void> run() {
    return may_write()
        .and_then([this] { return users_bot(); })
        .and_then([this] { return providers(); })
        .and_then([this] { return alerts(); })
        .and_then([this] { return write(); })
        .map([this] { farewell(); });
  }

 private:
  /// Asks until `check` is content; a script has one try.
  Result<std::string> ask(const std::string& question,
                          const std::function<Result<void>(const std::string&)>& check) {
    for (int i = 1;; ++i) {
      auto answer = prompt_.ask(question, true);
      if (!answer) return answer;
      const auto good = check(*answer);
      if (good) return answer;
      say("  " + good.error().detail);
      if (!prompt_.interactive() || i >= kTries) return fail(good.error());
    }
  }

  Result<void> may_write() {
    if (installed_ && ::geteuid() != 0)
      return fail(Code::Rejected, "run it as root: sudo katana init --system");
    if (installed_ && ::access(config::kInstalledDefaults, F_OK) != 0)
      return fail(Code::Rejected, std::string(config::kInstalledDefaults) +
                                      " is not there: install the Debian package first");
    if (force_ || ::access(path_.c_str(), F_OK) != 0) return {};
    return fail(Code::Rejected, path_ + " is there already; edit it, or write it anew with katana init " +
                                    (installed_ ? "--system " : "") + "--force");
  }

  [[nodiscard]] telegram::BotAccess access(const std::string& token) const {
    return {api_url_, Secret(token), telegram_proxy_};
  }

  Result<telegram::BotUser> check_bot(const std::string& token) {
    if (!looks_like_bot_token(token))
      return fail(Code::Malformed,
                  "that is no bot token: it looks like 1234567890:ABC… and comes from @BotFather");
    auto bot = net_.bot(access(token));
    if (!bot) return fail(with_context(bot.error(), "Telegram doesn't take it"));
    return bot;
  }

  Result<void> users_bot() {
    say("1/4  The bot that people write to. Make it with @BotFather (/newbot), and copy its token.");
    return ask("     Token (not shown):",
               [this](const std::string& token) -> Result<void> {
                 auto bot = check_bot(token);
                 if (!bot) return fail(bot.error());
                 username_ = bot->username;
                 users_token_ = token;
                 say("     works: @" + username_);
                 return {};
               })
        .map([this](const std::string& token) { add("KATANA_TELEGRAM_TOKEN", token); });
  }

  Result<void> provider(const std::string& name, const char* label, const char* key_name,
                        const char* url_name, const char* url_default) {
    const std::string base = from_environment(url_name, url_default);
    return ask(std::string("     ") + label + " key (not shown; empty: none):",
               [&](const std::string& key) -> Result<void> {
                 if (key.empty()) return {};
                 const auto works = net_.key(name, base, Secret(key), provider_proxy_);
                 if (!works) return fail(with_context(works.error(), label));
                 say(std::string("     works: ") + label);
                 return {};
               })
        .map([&](const std::string& key) {
          if (key.empty()) return;
          add(key_name, key);
          providers_.push_back(name);
        });
  }

  Result<void> providers() {
    say("2/4  The models. One key is enough.");
    auto done = provider("claude", "Anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL",
                         "https://api.anthropic.com");
    if (done)
      done = provider("openai", "OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1");
    if (!done || !providers_.empty()) return done;
    return fail(Code::Rejected,
                "without a key nobody can answer: get one at console.anthropic.com or platform.openai.com");
  }

  Result<void> alerts() {
    say("3/4  Who is told when something breaks. Make a second bot with @BotFather: alerts must not depend "
        "on the first.");
    std::string alert_bot;
    auto token = ask("     Alert bot's token (not shown; empty: nobody will be told):",
                     [&](const std::string& t) -> Result<void> {
                       if (t.empty()) return {};
                       if (t == users_token_)
                         return fail(Code::Rejected, "that is the users' bot: make a second one");
                       auto bot = check_bot(t);
                       if (!bot) return fail(bot.error());
                       alert_bot = bot->username;
                       return {};
                     });
    if (!token) return fail(token.error());
    if (token->empty()) {
      say("     nobody will be told: no alert bot");
      return {};
    }
    // Anybody may have written to the bot: only whoever reads this is meant.
    const std::string code = std::to_string(100'000 + random_u64() % 900'000);
    say("     works: @" + alert_bot + ". Now write " + code + " to it (https://t.me/" + alert_bot +
        "), or /start " + code + " in a group that it is in …");
    auto chat = wait_for_message(*token, code);
    if (!chat) return fail(chat.error());
    say("     found: " + chat->name + " (" + std::to_string(chat->chat_id) + ")");
    add("TELEGRAM_ALERT_BOT_TOKEN", *token);
    add("TELEGRAM_ALERT_CHAT_ID", std::to_string(chat->chat_id));
    if (chat->user_id != 0) {
      add("KATANA_OPS_USERS", std::to_string(chat->user_id));
      say("     you may use the alerts' buttons; add the ids of others to KATANA_OPS_USERS");
    }
    return test_alert(*token, chat->chat_id);
  }

  Result<FoundChat> wait_for_message(const std::string& token, const std::string& code) {
    std::int64_t offset = 0;
    const auto end = std::chrono::steady_clock::now() + kMessageWait;
    while (std::chrono::steady_clock::now() < end) {
      auto found = net_.updates(access(token), offset, kPollWait).and_then([&](const std::string& json) {
        return find_chat(json, code);
      });
      if (!found) return fail(with_context(found.error(), "asking the alert bot for your message"));
      offset = std::max(offset, found->next_offset);
      if (found->chat_id != 0) return found;
    }
    return fail(Code::Timeout,
                "the code did not come to the alert bot within 3 minutes; run katana init again");
  }

  Result<void> test_alert(const std::string& token, std::int64_t chat) {
    config::Settings s;
    s.telegram.api_url = api_url_;
    s.telegram.proxy = telegram_proxy_;
    s.alerts.telegram_token = Secret(token);
    s.alerts.telegram_chat = std::to_string(chat);
    for (const auto& [name, result] : net_.send(
             s,
             notice_of(NoticeKind::Test, "katana init", "alerts reach this chat", "none, this is a test"))) {
      if (!result) return fail(with_context(result.error(), "the test alert by " + name));
      say("     a test alert was sent there");
    }
    return {};
  }

  void add(const std::string& name, const std::string& value) { settings_.emplace_back(name, value); }

  Result<void> write() {
    for (const char* name : {"KATANA_TELEGRAM_API_URL", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL",
                             "KATANA_TELEGRAM_PROXY", "KATANA_PROVIDER_PROXY"})
      if (const auto value = from_environment(name, ""); !value.empty()) add(name, value);
    if (installed_) return write_installed();
    const std::string absolute = path_.find('/') == std::string::npos ? "./" + path_ : path_;
    if (auto written = write_durably(absolute, env_lines(settings_)); !written) return written;
    say("4/4  Written: " + path_ + " (only you can read it)");
    return {};
  }

  /// The gateway's unit knows no provider's key, and the watchdog's not who should be there.
  Result<void> write_installed() {
    std::string on;
    std::string expected = "gateway";
    for (const auto& provider : providers_) {
      on += (on.empty() ? "" : ",") + provider;
      expected += "," + provider + ":1";
    }
    NewSettings plain{{"KATANA_PROVIDERS", on}, {"KATANA_EXPECT", expected}};
    for (const auto& [name, value] : settings_) {
      const auto* known = config::find_name(name);
      if (known == nullptr || !known->secret) {
        plain.emplace_back(name, value);
        continue;
      }
      if (auto written = write_durably(config::kInstalledSecrets + name, value + "\n"); !written)
        return written;
    }
    constexpr std::size_t kMost = 1 << 20;
    constexpr mode_t kMode = 0644;  // no secrets are in there
    const bool there = ::access(config::kInstalledFile, F_OK) == 0;
    const auto before = there ? read_whole(config::kInstalledFile, kMost) : Result<std::string>("");
    if (!before) return fail(before.error());
    if (auto written = write_durably(config::kInstalledFile, with_settings(*before, plain)); !written)
      return written;
    ::chmod(config::kInstalledFile, kMode);
    say(std::string("4/4  Written: ") + config::kInstalledFile + ", and the secrets to " +
        config::kInstalledSecrets + "… (only root can read them)");
    return {};
  }

  void farewell() {
    const std::string own = std::filesystem::read_symlink("/proc/self/exe").string();
    say("");
    say("Start it:           " + (installed_ ? "systemctl enable --now katana.target" : own + " up"));
    say("Write to your bot:  https://t.me/" + username_);
    say("It answers with a code; let yourself in with: katana allow CODE. The first one becomes its admin.");
  }

  std::string path_;
  bool installed_;
  bool force_;
  Prompt prompt_;
  Try net_;
  Secret telegram_proxy_{from_environment("KATANA_TELEGRAM_PROXY", "")};
  Secret provider_proxy_{from_environment("KATANA_PROVIDER_PROXY", "")};
  std::string api_url_ = from_environment("KATANA_TELEGRAM_API_URL", "https://api.telegram.org");
  std::string username_;
  std::string users_token_;
  std::vector<std::string> providers_;
  NewSettings settings_;
};

}  // namespace

Result<FoundChat> find_chat(const std::string& updates_json, std::string_view code) {
  simdjson::dom::parser parser;
  simdjson::dom::array updates;
  if (parser.parse(simdjson::padded_string(updates_json))["result"].get(updates))
    return fail(Code::Malformed, "Telegram's answer isn't understood");
  FoundChat found;
  for (const auto update : updates) {
    std::int64_t id = 0;
    if (!update["update_id"].get(id)) found.next_offset = std::max(found.next_offset, id + 1);
    simdjson::dom::element chat;
    std::string_view words;
    const char* kind = update["message"]["chat"].get(chat) ? "channel_post" : "message";
    if (update[kind]["chat"].get(chat) || update[kind]["text"].get(words)) continue;
    const std::string said(text::trim(words));
    if (said.substr(said.find_last_of(' ') + 1) != code) continue;
    std::int64_t chat_id = 0;
    if (chat["id"].get(chat_id)) continue;
    found.chat_id = chat_id;
    std::int64_t user_id = 0;
    found.user_id = update[kind]["from"]["id"].get(user_id) ? 0 : user_id;
    found.name = "your chat";
    for (const char* name : {"title", "username", "first_name"}) {
      std::string_view value;
      if (chat[name].get(value)) continue;
      found.name = text::shorten(text::one_line(value), 60);
      break;
    }
  }
  return found;
}

std::string env_lines(const NewSettings& settings) {
  std::string out = "# Katana's settings, made by katana init. README.md explains each.\n";
  for (const auto& [name, value] : settings)
    out.append(name).append("=").append(env_value(value)).append("\n");
  return out;
}

std::string with_settings(const std::string& text, const NewSettings& settings) {
  std::string out;
  NewSettings left = settings;
  const auto name_of = [](std::string_view line) {
    if (line.starts_with('#')) line.remove_prefix(1);
    return line.substr(0, line.find('='));
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    const auto mine = std::find_if(left.begin(), left.end(), [&](const auto& s) {
      // Where a line is in force, that one; its example otherwise.
      const bool in_force = ("\n" + text).find("\n" + s.first + "=") != std::string::npos;
      return s.first == name_of(line) && (!in_force || !line.starts_with('#'));
    });
    if (mine == left.end()) {
      out.append(line).append("\n");
    } else {
      out.append(mine->first).append("=").append(env_value(mine->second)).append("\n");
      left.erase(mine);
    }
    at = end + 1;
  }
  for (const auto& [name, value] : left)
    out.append(name).append("=").append(env_value(value)).append("\n");
  return out;
}

namespace {

int outcome_of(Init init) {
  const auto done = init.run();
  if (done) return 0;
  std::fprintf(stderr, "katana init: %s\n", done.error().detail.c_str());
  return 1;
}

}  // namespace

int run_init(const std::string& path, bool force) {
  return outcome_of(Init(path, false, force));
}

int run_init_installed(bool force) {
  return outcome_of(Init(std::string(config::kInstalledSecrets) + "KATANA_TELEGRAM_TOKEN", true, force));
}

}  // namespace katana::watchdog
