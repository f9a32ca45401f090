#include <filesystem>

#include <unistd.h>

#include "common/config/command_line.hpp"
#include "common/config/models.hpp"
#include "common/config/reader.hpp"
#include "common/core/host.hpp"

namespace katana::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLocalState = "state";  // beside the caller: where `katana up` keeps its state
constexpr std::string_view kInstalledState = "/var/lib/katana";
constexpr std::string_view kInstalledRun = "/run/katana";
constexpr std::string_view kLongestSocketName = "/watchdog.sock";
constexpr std::size_t kLongestSocketPath = 107;

Result<std::string> parse_page_token(std::string_view text) {
  constexpr std::size_t kShortest = 16;
  if (text.size() < kShortest)
    return fail(Code::Rejected, "too short to keep others out; use 16 characters or more");
  return std::string(text);
}

Result<std::string> parse_store(std::string_view text, const std::string& state_dir) {
  constexpr std::string_view kSqlite = "sqlite:";
  // Here rather than where it is opened: a gateway that can't start would be started again and again.
  if (text.starts_with("postgresql://") || text.starts_with("postgres://"))
    return fail(Code::Rejected, "this version has only SQLite; write sqlite:PATH");
  const auto path = text.starts_with(kSqlite) ? text.substr(kSqlite.size()) : std::string_view();
  if (path.empty()) return fail(Code::Rejected, "write sqlite:PATH");
  const fs::path file = (fs::path(state_dir) / fs::path(path)).lexically_normal();
  std::error_code ignored;
  if (fs::exists(file, ignored) && !fs::is_regular_file(file, ignored))
    return fail(Code::Rejected, file.string() + " is no file; write sqlite:PATH with the path of one");
  return std::string(kSqlite) + file.string();
}

/// Our own places are made when a process starts, or by its unit.
bool will_be_there(const std::string& directory, const Settings& s) {
  return has_directory(directory) || directory == s.state_dir || directory == s.run_dir ||
         directory == kInstalledState || directory == kInstalledRun;
}

void read_places(Reader& in, Settings& s) {
  const auto state = in.text("KATANA_STATE_DIR");
  const auto run = in.text("KATANA_RUN_DIR");
  const std::string local = absolute_path(kLocalState);
  if (state) {
    s.state_dir = absolute_path(*state);
  } else {
    const bool beside = in.program() == Program::Up ||
                        (in.program() == Program::Tool && !run && has_directory(local + "/run"));
    s.state_dir = beside ? local : std::string(kInstalledState);
  }
  if (run) {
    s.run_dir = absolute_path(*run);
  } else {
    // The command finds a running `katana up` by the directory that it made.
    const bool inside =
        in.program() == Program::Up || (in.program() == Program::Tool && has_directory(s.state_dir + "/run"));
    s.run_dir = inside ? s.state_dir + "/run" : std::string(kInstalledRun);
  }
  if (s.run_dir.size() + kLongestSocketName.size() > kLongestSocketPath) {
    in.problem(run ? "KATANA_RUN_DIR" : "KATANA_STATE_DIR",
               "too long a path for sockets (" + std::to_string(s.run_dir.size()) +
                   " bytes, 93 at most); set KATANA_RUN_DIR to a shorter directory");
  }
  s.heartbeat_file = s.state_dir + "/katana_heartbeat.txt";
  if (const auto file = in.text("KATANA_HEARTBEAT_FILE")) {
    s.heartbeat_file = absolute_path(*file);
    const std::string directory = fs::path(s.heartbeat_file).parent_path().string();
    if (!will_be_there(directory, s))
      in.problem("KATANA_HEARTBEAT_FILE",
                 "there is no directory " + directory + "; make it, or choose another");
  }
  s.store = Secret("sqlite:" + s.state_dir + "/katana.db");
  in.read_secret("KATANA_STORE", s.store, [&](std::string_view t) { return parse_store(t, s.state_dir); });
  if (const auto file = in.text("KATANA_MODELS")) s.models_file = absolute_path(*file);
  in.read("KATANA_INSTANCE", s.instance, parse_instance);
}

bool holds_a_key(const std::string& directory) {
  for (const char* name : {"/server.secret", "/worker.secret", "/watchdog.secret"})
    if (!directory.empty() && access((directory + name).c_str(), R_OK) == 0) return true;
  return false;
}

/// The operator's command looks where systemd will take them from.
bool holds_installed_key(const Reader& in) {
  const bool command = in.program() == Program::Tool || in.whole();
  if (!command) return false;
  for (const char* name : {"server.secret", "worker.secret", "watchdog.secret"})
    if (access((std::string(kInstalledSecrets) + name).c_str(), F_OK) == 0) return true;
  return false;
}

/// Of an `ipc://` endpoint's socket; empty for the others.
std::string directory_of(const std::string& endpoint) {
  constexpr std::string_view kIpc = "ipc://";
  return endpoint.starts_with(kIpc) ? fs::path(endpoint.substr(kIpc.size())).parent_path().string()
                                    : std::string();
}

void read_bus(Reader& in, Settings& s) {
  if (const auto keys = in.text("KATANA_KEYS")) {
    s.keys_dir = absolute_path(*keys);
    s.key_secrets_dir = in.of_system("CREDENTIALS_DIRECTORY");
    if (!has_directory(s.keys_dir)) {
      in.problem("KATANA_KEYS",
                 s.keys_dir + " is not a directory; make the keys with: katana keygen " + s.keys_dir);
    } else if (!holds_a_key(s.keys_dir) && !holds_a_key(s.key_secrets_dir) && !holds_installed_key(in)) {
      in.problem("KATANA_KEYS", s.keys_dir +
                                    " holds no key that this user may read (server.secret, worker.secret, "
                                    "watchdog.secret); make them with: katana keygen " +
                                    s.keys_dir);
    }
  }
  const auto endpoint = [&](std::string_view name, const std::string& value, std::string& into) {
    auto parsed = parse_endpoint(value);
    if (!parsed) {
      in.problem(name, parsed.error().detail);
    } else if (parsed->starts_with("tcp://") && s.keys_dir.empty()) {
      in.problem(
          name,
          "tcp:// always needs keys; make them with katana keygen and set KATANA_KEYS to their directory");
    } else if (const auto folder = directory_of(*parsed); !folder.empty() && !will_be_there(folder, s)) {
      in.problem(name, "there is no directory " + folder + " for the socket; make it, or choose another");
    } else {
      into = *parsed;
    }
  };
  s.bus = {"ipc://" + s.run_dir + "/jobs.ipc"};
  if (const auto text = in.text("KATANA_BUS")) {
    const auto items = split_list(*text);
    if (items.empty() || items.size() > 16 || (in.program() == Program::Gateway && items.size() > 1)) {
      in.problem("KATANA_BUS", "give one endpoint to the gateway, and 1 to 16 by comma to the others");
    } else {
      s.bus.assign(items.size(), "");
      for (std::size_t i = 0; i < items.size(); ++i)
        endpoint("KATANA_BUS", items[i], s.bus[i]);
    }
  }
  s.watch = "ipc://" + s.run_dir + "/watch.ipc";
  if (const auto text = in.text("KATANA_WATCH")) endpoint("KATANA_WATCH", *text, s.watch);
}

void read_http_and_log(Reader& in, Settings& s) {
  s.gateway_http = "127.0.0.1:9710";
  s.watchdog_http = "127.0.0.1:9780";
  in.read("KATANA_GATEWAY_HTTP", s.gateway_http, parse_listen_address);
  in.read("KATANA_WATCHDOG_HTTP", s.watchdog_http, parse_listen_address);
  in.read_secret("KATANA_WATCHDOG_TOKEN", s.watchdog_token, parse_page_token);
  if (!s.watchdog_http.empty()) s.page_url = "http://" + s.watchdog_http;
  in.read("KATANA_PAGE_URL", s.page_url, parse_base_url);
  static constexpr Choice<std::string_view> kLevels[] = {{"debug", "debug"},
                                                         {"info", "info"},
                                                         {"warning", "warning"},
                                                         {"error", "error"},
                                                         {"critical", "critical"}};
  static constexpr Choice<LogFormat> kFormats[] = {{"text", LogFormat::Text}, {"json", LogFormat::Json}};
  static constexpr Choice<LogMessages> kMessages[] = {
      {"none", LogMessages::None}, {"summary", LogMessages::Summary}, {"full", LogMessages::Full}};
  std::string_view level = "info";
  in.choose("KATANA_LOG_LEVEL", level, kLevels);
  s.log_level = std::string(level);
  in.choose("KATANA_LOG_FORMAT", s.log_format, kFormats);
  if (const auto file = in.text("KATANA_LOG_FILE")) s.log_file = absolute_path(*file);
  in.choose("KATANA_LOG_MESSAGES", s.log_messages, kMessages);
}

void read_processes(Reader& in, Settings& s) {
  const auto count = [](std::string_view t) { return parse_count(t, 1, 64); };
  in.read("KATANA_CLAUDE_WORKERS", s.claude_workers, count);
  in.read("KATANA_OPENAI_WORKERS", s.openai_workers, count);
  in.read("KATANA_WORKER_JOBS", s.worker_jobs, [](std::string_view t) { return parse_count(t, 1, 10'000); });
  const bool told = in.read("KATANA_EXPECT", s.expect, parse_expect);
  if (told || in.program() != Program::Up) return;
  s.expect["gateway"] = 1;
  if (s.claude.on) s.expect["claude"] = s.claude_workers;
  if (s.openai.on) s.expect["openai"] = s.openai_workers;
}

/// Who asks the vendor itself must ask for a model that it has; another server names its models as it likes.
void check_model(Reader& in, const ModelTable& table, std::string_view name, const Provider& account,
                 std::string_view provider, std::string_view vendor) {
  const auto url = parse_url(account.base_url);
  if (!account.on || account.model.empty() || !url || url->host != vendor) return;
  const Model* model = table.find(account.model);
  if (model == nullptr) {
    in.warn(name,
            account.model + " isn't in the table of models; add it with KATANA_MODELS, or mend its name");
  } else if (model->provider != provider) {
    in.problem(name, account.model + " is a model of " + model->provider + "; choose one of " +
                         std::string(provider));
  }
}

/// What makes no sense as a whole: no bot, or a bot that nobody answers for.
void check_whole(Reader& in, const Settings& s) {
  if (in.program() != Program::Gateway && !in.whole()) return;
  if (s.telegram.token.empty() && !in.exists("KATANA_TELEGRAM_TOKEN")) {
    in.problem("KATANA_TELEGRAM_TOKEN", "not set; set it to the token from @BotFather (or run: katana init)");
  }
  if (!s.claude.on && !s.openai.on) {
    in.problem("ANTHROPIC_API_KEY",
               "no provider is on; set ANTHROPIC_API_KEY or OPENAI_API_KEY (or ANTHROPIC_BASE_URL or "
               "OPENAI_BASE_URL "
               "to a local server)");
  }
  if (const auto shipped = shipped_models_path(); shipped || !s.models_file.empty()) {
    const auto table = load_models(shipped.value_or(""), s.models_file);
    if (!table) {
      in.problem("KATANA_MODELS", table.error().detail);
    } else {
      check_model(in, *table, "KATANA_CLAUDE_MODEL", s.claude, "claude", "api.anthropic.com");
      check_model(in, *table, "KATANA_OPENAI_MODEL", s.openai, "openai", "api.openai.com");
    }
  }
  const auto api = parse_url(s.telegram.api_url);
  if (api && api->scheme == "http" && !is_loopback(api->host)) {
    in.warn("KATANA_TELEGRAM_API_URL",
            "plain http:// to another machine: the bot's token travels unencrypted");
  }
}

Settings read_all(Reader& in) {
  Settings s;
  read_places(in, s);
  read_bus(in, s);
  read_bot(in, s);
  read_http_and_log(in, s);
  read_alerts(in, s);
  read_processes(in, s);
  check_whole(in, s);
  for (const auto& [name, value] : in.env()) {
    if (value.empty()) continue;
    if (auto line = stray_name(name)) in.warnings.push_back(std::move(*line));
    const Name* known = find_name(name);
    if (known != nullptr && known->inert && sees(in.program(), name)) {
      in.warn(name, "understood, but this version does not act on it yet");
    }
  }
  return s;
}

}  // namespace

bool has_directory(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string absolute_path(std::string_view path) {
  std::error_code ignored;
  std::string out = fs::absolute(fs::path(path), ignored).lexically_normal().string();
  while (out.size() > 1 && out.ends_with('/'))
    out.pop_back();
  return out;
}

Result<Settings> load(Program program, const Environment& env) {
  Reader in(program, env);
  Settings s = read_all(in);
  s.warnings = std::move(in.warnings);
  if (in.problems.empty()) return s;
  if (program != Program::Tool) return fail(Code::Rejected, in.problems.front());
  s.warnings.insert(s.warnings.begin(), in.problems.begin(), in.problems.end());
  return s;
}

std::vector<std::string> problems_of(Program program, const Environment& env) {
  Reader in(program, env);
  read_all(in);
  return std::move(in.problems);
}

std::vector<Secret> secrets_of(const Settings& s) {
  std::vector<Secret> out{s.telegram.token,       s.telegram.proxy,    s.telegram.webhook_secret,
                          s.claude.proxy,         s.watchdog_token,    s.alerts.telegram_token,
                          s.alerts.smtp_password, s.alerts.command,    s.alerts.webhook_url,
                          s.alerts.webhook_key,   s.alerts.deadman_url};
  for (const auto* provider : {&s.claude, &s.openai}) {
    out.insert(out.end(), provider->keys.begin(), provider->keys.end());
  }
  if (!s.store.reveal().starts_with("sqlite:")) out.push_back(s.store);
  std::erase_if(out, [](const Secret& secret) { return secret.empty(); });
  return out;
}

}  // namespace katana::config
