#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/core/secret.hpp"

namespace katana::config {

enum class Program { Gateway, Claude, OpenAi, Watchdog, Up, Tool };

enum class Access { Pairing, Allowlist, Open };
enum class Streaming { Edit, Draft, Off };
enum class Uncertain { Resend, Ask };
enum class LogFormat { Text, Json };
enum class LogMessages { None, Summary, Full };
enum class OpenAiApi { Responses, Chat };

/// Calls to Telegram: a second for the bot, a second for a chat, a minute for a group. Zero: no limit.
struct TelegramLimits {
  double bot_per_second = 30;
  double chat_per_second = 1;
  double group_per_minute = 20;
};

/// A spending limit; unset: `off`.
struct Budget {
  enum class Unit { Tokens, MicroUsd } unit = Unit::Tokens;
  std::uint64_t amount = 0;
};

struct Telegram {
  Secret token;
  std::string api_url = "https://api.telegram.org";
  Secret proxy;
  TelegramLimits limits;
  Secret webhook_secret;
  std::string webhook_url;   ///< empty: long polling
  std::string webhook_http;  ///< listener's address
};

/// One provider's account. `on` follows interface.md: a key, or a base URL that isn't the vendor's own.
struct Provider {
  bool on = false;
  std::vector<Secret> keys;
  std::string base_url;
  Secret proxy;
  std::string model;  ///< default model; empty: the table's
  OpenAiApi api = OpenAiApi::Responses;
};

struct Alerts {
  Secret telegram_token;
  std::string telegram_chat;
  std::vector<std::int64_t> ops_users;
  std::string smtp_url;
  std::string smtp_user;
  Secret smtp_password;
  std::string email_from;
  std::vector<std::string> email_to;
  bool smtp_may_be_plain =
      false;                 ///< `smtp://` on loopback and no password: TLS is used if offered, not required
  std::string smtp_ca_file;  ///< SMTP_CA_FILE: an extra trust anchor for a private mail server
  Secret command;
  Secret webhook_url;
  Secret webhook_key;  ///< sent as `routing_key`
  Secret deadman_url;
};

/// Every setting, checked. Made once at start, immutable after; a process gets the same struct with only its
/// own part filled (see names.cpp for who reads what). Durations and sizes are in the unit that the type
/// tells.
struct Settings {
  Telegram telegram;
  Provider claude;
  Provider openai;
  std::string default_provider;       ///< "claude" or "openai"; empty when neither is on
  std::vector<std::string> fallback;  ///< empty: off
  std::string models_file;

  Access access = Access::Pairing;
  std::vector<std::int64_t> allowed_users;
  std::vector<std::int64_t> admins;
  std::optional<Budget> budget_day, budget_month, budget_user_day, budget_user_month;

  Streaming streaming = Streaming::Edit;
  Uncertain uncertain = Uncertain::Resend;
  Seconds max_age{3600};
  int queue = 20'000;  ///< KATANA_QUEUE: most questions that wait for a worker; further ones are turned away
  Seconds retention{30 * 86400};

  std::string state_dir;
  std::string run_dir;
  Secret store;                  ///< `sqlite:PATH`
  std::vector<std::string> bus;  ///< gateway endpoints: one for the gateway, one or more for a worker
  std::string watch;
  std::string keys_dir;
  std::string key_secrets_dir;  ///< where `*.secret` of the keys may be instead; empty: nowhere

  std::string gateway_http;   ///< empty: off
  std::string watchdog_http;  ///< empty: off
  std::string
      page_url;  ///< what links to the watchdog's page begin with, without `/` at the end; empty: no links
  Secret watchdog_token;
  std::string heartbeat_file;
  std::map<std::string, int> expect;  ///< component -> how many; "gateway" -> 1

  std::string log_level = "info";
  LogFormat log_format = LogFormat::Text;
  std::string log_file;  ///< empty: standard output; a directory: a file for each process in it
  LogMessages log_messages = LogMessages::Summary;

  Alerts alerts;
  std::vector<std::string> json_commands;
  int claude_workers = 1;
  int openai_workers = 1;
  int worker_jobs = 512;  ///< KATANA_WORKER_JOBS: most jobs that a worker process takes at once
  std::string instance;   ///< KATANA_INSTANCE: this process's name among its kind, such as `claude-2`

  /// Unknown names, near misses, secret files that others can read, settings that nothing obeys yet.
  std::vector<std::string> warnings;
};

/// Name → value, as merged from the process's environment over the `.env` file.
using Environment = std::map<std::string, std::string>;

/// The process's own environment.
Environment process_environment();
/// `process` over `file`: a name set in the process hides the file's, also when one of them is the `_FILE`
/// form.
Environment merged(const Environment& process, const Environment& file);

/// Reads a `.env` file (KEY=VALUE, quotes, `#` comments, `export ` allowed). The error names line and reason.
/// Refuses a file over 1 MiB.
Result<Environment> read_env_file(const std::string& path);
Result<Environment> parse_env(std::string_view text, const std::string& name);

/// Checks everything that `program` uses and fills it in. An error's detail is one line that names the
/// setting and the mend, for exit status 2. `Program::Tool` is lenient: what is wrong or missing becomes a
/// warning and the default stands.
Result<Settings> load(Program program, const Environment& env);
/// Every problem that `load` would stop at, not the first alone: for `katana check-config` and `doctor`.
std::vector<std::string> problems_of(Program program, const Environment& env);

/// Every secret that `settings` holds, for `log::hide`.
std::vector<Secret> secrets_of(const Settings& settings);

/// The names that a program may see, each secret's `_FILE` form and the few names of the system that every
/// program needs (PATH, TZ …) included: what `katana up` hands to each child.
std::vector<std::string> names_of(Program program);

}  // namespace katana::config
