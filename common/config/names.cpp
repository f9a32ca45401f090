#include "common/config/names.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace katana::config {
namespace {

constexpr unsigned kGateway = reader(Program::Gateway);
constexpr unsigned kClaude = reader(Program::Claude);
constexpr unsigned kOpenAi = reader(Program::OpenAi);
constexpr unsigned kWatchdog = reader(Program::Watchdog);
constexpr unsigned kWorkers = kClaude | kOpenAi;
constexpr unsigned kAll = kGateway | kWorkers | kWatchdog;
constexpr unsigned kNone = 0;  // `katana up` and the command alone; they see every name

constexpr bool kSecret = true;
constexpr bool kPlain = false;
constexpr bool kInert = true;  // to be taken off the row by whoever makes the setting work

constexpr std::size_t kShortestNearMiss = 8;  // shorter names meet foreign ones by chance
constexpr std::size_t kNearMiss = 2;          // edits between a name and its misspelling

/// What people write when they mean one of ours: other bots' names, and older ones.
struct Alias {
  std::string_view written, meant;
};
constexpr std::array<Alias, 9> kAliases{{
    {"BOT_TOKEN", "KATANA_TELEGRAM_TOKEN"},
    {"TELEGRAM_BOT_TOKEN", "KATANA_TELEGRAM_TOKEN"},
    {"TELEGRAM_API_TOKEN", "KATANA_TELEGRAM_TOKEN"},
    {"CLAUDE_API_KEY", "ANTHROPIC_API_KEY"},
    {"KATANA_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"},
    {"KATANA_OPENAI_API_KEY", "OPENAI_API_KEY"},
    {"OPENAI_API_BASE", "OPENAI_BASE_URL"},
    {"ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"},
    {"ALLOWED_TELEGRAM_USER_IDS", "KATANA_ALLOWED_USERS"},
}};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string upper(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

constexpr std::string_view kPrefix = "KATANA_";
constexpr std::string_view kFileSuffix = "_FILE";

/// The setting that was probably meant by a name that is none; empty: no idea.
std::string_view meant_by(std::string_view name) {
  const std::string written = upper(name);
  if (find_name(written) != nullptr) return find_name(written)->name;
  for (const Alias& a : kAliases) {
    if (written == a.written) return a.meant;
  }
  for (const Name& n : all_names()) {
    // Without the prefix; one word alone (`STORE`, `BUS`) is too common to mean us.
    if (n.name.starts_with(kPrefix) && written == n.name.substr(kPrefix.size()) &&
        written.find('_') != std::string::npos) {
      return n.name;
    }
  }
  std::string_view best;
  std::size_t best_distance = kNearMiss + 1;
  for (const Name& n : all_names()) {
    if (n.name.size() < kShortestNearMiss || written.size() < kShortestNearMiss) continue;
    const std::size_t d = edit_distance(written, n.name);
    if (d < best_distance) {
      best = n.name;
      best_distance = d;
    }
  }
  return best;
}

}  // namespace

const std::vector<Name>& all_names() {
  static const std::vector<Name> kNames{
      {"KATANA_TELEGRAM_TOKEN", kSecret, kGateway},
      {"KATANA_TELEGRAM_API_URL", kPlain, kGateway | kWatchdog},
      {"KATANA_TELEGRAM_PROXY", kSecret, kGateway | kWatchdog},
      {"KATANA_TELEGRAM_LIMITS", kPlain, kGateway},
      {"KATANA_WEBHOOK_URL", kPlain, kGateway, kInert},
      {"KATANA_WEBHOOK_HTTP", kPlain, kGateway, kInert},
      {"KATANA_WEBHOOK_SECRET", kSecret, kGateway, kInert},

      {"ANTHROPIC_API_KEY", kSecret, kClaude},
      {"ANTHROPIC_BASE_URL", kPlain, kClaude | kGateway},
      {"OPENAI_API_KEY", kSecret, kOpenAi},
      {"OPENAI_BASE_URL", kPlain, kOpenAi | kGateway},
      {"OPENAI_API", kPlain, kOpenAi},
      {"KATANA_PROVIDER_PROXY", kSecret, kWorkers},
      {"KATANA_PROVIDERS", kPlain, kGateway},
      {"KATANA_CLAUDE_MODEL", kPlain, kClaude | kGateway},
      {"KATANA_OPENAI_MODEL", kPlain, kOpenAi | kGateway},
      {"KATANA_DEFAULT_PROVIDER", kPlain, kGateway},
      {"KATANA_FALLBACK", kPlain, kGateway},
      {"KATANA_MODELS", kPlain, kGateway},

      {"KATANA_ACCESS", kPlain, kGateway},
      {"KATANA_ALLOWED_USERS", kPlain, kGateway},
      {"KATANA_ADMINS", kPlain, kGateway},
      {"KATANA_BUDGET_DAY", kPlain, kGateway, kInert},
      {"KATANA_BUDGET_MONTH", kPlain, kGateway, kInert},
      {"KATANA_BUDGET_USER_DAY", kPlain, kGateway, kInert},
      {"KATANA_BUDGET_USER_MONTH", kPlain, kGateway, kInert},
      {"KATANA_STREAMING", kPlain, kGateway},
      {"KATANA_UNCERTAIN", kPlain, kGateway},
      {"KATANA_MAX_AGE", kPlain, kGateway},
      {"KATANA_QUEUE", kPlain, kGateway},
      {"KATANA_RETENTION", kPlain, kGateway},
      {"KATANA_JSON_COMMANDS", kPlain, kGateway, kInert},

      {"KATANA_STATE_DIR", kPlain, kAll},
      {"KATANA_RUN_DIR", kPlain, kAll},
      {"KATANA_STORE", kSecret, kGateway},
      {"KATANA_BUS", kPlain, kAll},
      {"KATANA_WATCH", kPlain, kAll},
      {"KATANA_KEYS", kPlain, kAll},
      {"KATANA_GATEWAY_HTTP", kPlain, kGateway},
      {"KATANA_WATCHDOG_HTTP", kPlain, kWatchdog},
      {"KATANA_PAGE_URL", kPlain, kWatchdog},
      {"KATANA_WATCHDOG_TOKEN", kSecret, kWatchdog},
      {"KATANA_HEARTBEAT_FILE", kPlain, kGateway},
      {"KATANA_EXPECT", kPlain, kWatchdog},
      {"KATANA_INSTANCE", kPlain, kAll},

      {"KATANA_LOG_LEVEL", kPlain, kAll},
      {"KATANA_LOG_FORMAT", kPlain, kAll},
      {"KATANA_LOG_FILE", kPlain, kAll},
      {"KATANA_LOG_MESSAGES", kPlain, kGateway | kWorkers},

      {"TELEGRAM_ALERT_BOT_TOKEN", kSecret, kWatchdog},
      {"TELEGRAM_BOT_TOKEN_ALERT", kSecret, kWatchdog},
      {"TELEGRAM_ALERT_CHAT_ID", kPlain, kWatchdog},
      {"TELEGRAM_CHAT_ID_ALERT", kPlain, kWatchdog},
      {"KATANA_OPS_USERS", kPlain, kWatchdog},
      {"SMTP_URL", kPlain, kWatchdog},
      {"SMTP_USER", kPlain, kWatchdog},
      {"SMTP_PASSWORD", kSecret, kWatchdog},
      {"SMTP_CA_FILE", kPlain, kWatchdog},
      {"ALERT_EMAIL_FROM", kPlain, kWatchdog},
      {"ALERT_EMAIL_TO", kPlain, kWatchdog},
      {"ALERT_COMMAND", kSecret, kWatchdog},
      {"ALERT_WEBHOOK_URL", kSecret, kWatchdog},
      {"ALERT_WEBHOOK_KEY", kSecret, kWatchdog},
      {"ALERT_DEADMAN_URL", kSecret, kWatchdog},

      {"KATANA_CLAUDE_WORKERS", kPlain, kNone},
      {"KATANA_OPENAI_WORKERS", kPlain, kNone},
      {"KATANA_WORKER_JOBS", kPlain, kWorkers},
  };
  return kNames;
}

const Name* find_name(std::string_view name) {
  const auto& names = all_names();
  const auto at = std::find_if(names.begin(), names.end(), [&](const Name& n) { return n.name == name; });
  return at == names.end() ? nullptr : &*at;
}

bool sees(Program program, std::string_view name) {
  if (program == Program::Up || program == Program::Tool) return true;
  const Name* known = find_name(name);
  return known != nullptr && (known->readers & reader(program)) != 0;
}

std::optional<std::string> stray_name(std::string_view name) {
  if (find_name(name) != nullptr) return std::nullopt;
  if (name.ends_with(kFileSuffix)) {
    const Name* base = find_name(name.substr(0, name.size() - kFileSuffix.size()));
    if (base != nullptr && base->secret) return std::nullopt;
    if (base != nullptr) {
      return std::string(name) + ": only secrets can come from a file; set " + std::string(base->name);
    }
  }
  const std::string_view meant = meant_by(name);
  if (!meant.empty()) {
    return std::string(name) + ": not a setting of Katana and ignored; did you mean " + std::string(meant) +
           "?";
  }
  if (name.starts_with(kPrefix)) return std::string(name) + ": not a setting of Katana and ignored";
  return std::nullopt;
}

std::vector<std::string> names_of(Program program) {
  std::vector<std::string> out{"PATH",          "HOME",         "LANG",
                               "LC_ALL",        "TZ",           "TMPDIR",
                               "SSL_CERT_FILE", "SSL_CERT_DIR", "CREDENTIALS_DIRECTORY"};
  for (const Name& n : all_names()) {
    if (!sees(program, n.name)) continue;
    out.emplace_back(n.name);
    if (n.secret) out.push_back(std::string(n.name) + std::string(kFileSuffix));
  }
  return out;
}

}  // namespace katana::config
