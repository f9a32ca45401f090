#include "watchdog/cli/doctor.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include "common/config/models.hpp"
#include "common/control/control.hpp"
#include "watchdog/cli/check.hpp"
#include "watchdog/cli/gateway_program.hpp"
#include "watchdog/cli/try.hpp"

namespace katana::watchdog {
namespace {

/// A clock that differs by no more is right: an answer takes its time, too.
constexpr Seconds kClockSkew{30};

/// The lines of the examination.
class Report {
 public:
  void good(const std::string& line) { print("ok    ", line); }
  void warn(const std::string& line) { print("warn  ", line); }
  void broken(const std::string& line) {
    print("BROKEN", line);
    ++broken_;
  }
  [[nodiscard]] int status() const { return broken_ == 0 ? 0 : 1; }

 private:
  static void print(const char* mark, const std::string& line) {
    std::printf("%s  %s\n", mark, line.c_str());
  }
  int broken_ = 0;
};

void examine_places(const config::Settings& s, Report& report) {
  for (const auto& [name, path] :
       {std::pair("KATANA_STATE_DIR", s.state_dir), std::pair("KATANA_RUN_DIR", s.run_dir)}) {
    if (access(path.c_str(), R_OK | W_OK | X_OK) == 0)
      report.good(std::string(name) + ": " + path);
    else
      report.warn(std::string(name) + ": " + path +
                  " can't be used by you now; katana up makes it, units need it made");
  }
}

void examine_processes(const config::Settings& s, Report& report) {
  for (const char* name : {"gateway", "watchdog"}) {
    const auto answer = control::ask(s.run_dir + "/" + name + ".sock", {"status", {}}, Millis{5'000});
    if (answer)
      report.good(std::string(name) + ": runs and answers");
    else
      report.warn(std::string(name) + ": " + answer.error().detail);
  }
  const auto heartbeat = check_heartbeat(s.heartbeat_file, Seconds{120}, SystemClock().wall());
  heartbeat.ok ? report.good(heartbeat.line) : report.warn(heartbeat.line);
}

void examine_store(const config::CommandLine& line, Report& report) {
  std::string said;
  const int status = run_gateway_program(line, {"store", "check"}, &said);
  status == 0 ? report.good("store: " + said) : report.broken("store: " + said);
}

void examine_bot(const char* what, const telegram::BotAccess& access, Try& net, Report& report, bool users) {
  if (access.token.empty()) return;
  const auto bot = net.bot(access);
  if (!bot)
    return report.broken(std::string(what) + " (" + access.token.masked() + "): " + bot.error().detail);
  report.good(std::string(what) + ": @" + bot->username);
  if (users && !bot->can_read_all_group_messages)
    report.warn(std::string(what) +
                ": group privacy is on; in groups it sees only commands, replies and some mentions "
                "(@BotFather, /setprivacy)");
}

/// The table of models as the gateway reads it; empty when it can't be (the settings' problems say so).
config::ModelTable table_of(const config::Settings& s) {
  const auto shipped = config::shipped_models_path();
  return config::load_models(shipped.value_or(""), s.models_file).value_or(config::ModelTable{});
}

/// What answers, and what users may choose, is what the provider serves to this key.
void examine_models(const char* name, const config::Provider& p, const config::ModelTable& table,
                    const std::vector<std::string>& served, Report& report) {
  if (served.empty()) return;  // a local server needn't tell
  const auto is_served = [&](const std::string& id) {
    return std::find(served.begin(), served.end(), id) != served.end();
  };
  const std::string setting = std::string("KATANA_") + (p.model.empty()                 ? "MODELS"
                                                        : name == std::string("claude") ? "CLAUDE_MODEL"
                                                                                        : "OPENAI_MODEL");
  const auto* row = table.default_of(name);
  const std::string answers = p.model.empty() && row ? row->id : p.model;
  if (answers.empty()) return;
  if (is_served(answers))
    report.good(std::string(name) + ": model " + answers + " is served");
  else
    report.warn(std::string(name) + ": model " + answers + " isn't among the " +
                std::to_string(served.size()) + " that this key may use; set " + setting);
  for (const auto& model : table.models)
    if (model.provider == name && model.id != answers && !is_served(model.id))
      report.warn(std::string(name) + ": model " + model.id +
                  " is offered by /model, and isn't among those that this key may use; mend KATANA_MODELS");
}

/// Their clock tells the second in which they answered.
void examine_clock(const char* name, std::optional<Wall> theirs, Report& report) {
  if (!theirs) return;
  const auto ahead = to_unix(SystemClock().wall()) - to_unix(*theirs);
  if (std::abs(ahead) <= kClockSkew.count()) return report.good(std::string("clock: as ") + name + "'s");
  report.broken(
      "clock: " + std::to_string(std::abs(ahead)) + " s " + (ahead > 0 ? "ahead of " : "behind ") + name +
      "'s; set it right (timedatectl set-ntp true), or certificates and the age of questions are misjudged");
}

void examine_provider(const char* name, const config::Provider& p, const config::ModelTable& table, Try& net,
                      Report& report) {
  if (!p.on) return report.good(std::string(name) + ": off");
  if (p.keys.empty()) return report.good(std::string(name) + ": " + p.base_url + ", without a key");
  for (const auto& key : p.keys) {
    const auto works = net.key(name, p.base_url, key, p.proxy);
    if (!works) {
      report.broken(std::string(name) + ": key " + key.masked() + ": " + works.error().detail);
      continue;
    }
    report.good(std::string(name) + ": key " + key.masked() + " works");
    examine_models(name, p, table, works->models, report);
    examine_clock(name, works->clock, report);
  }
}

void examine_channels(const config::Settings& s, Report& report) {
  const auto& a = s.alerts;
  if (!a.telegram_token.empty()) report.good("alerts by telegram, chat " + a.telegram_chat);
  if (!a.email_to.empty())
    report.good("alerts by email, " + std::to_string(a.email_to.size()) + " addresses");
  if (!a.command.empty()) report.good("alerts by command");
  if (!a.webhook_url.empty()) report.good("alerts by webhook");
  if (a.telegram_token.empty() && a.email_to.empty() && a.command.empty() && a.webhook_url.empty())
    report.warn(
        "nobody will be told: set TELEGRAM_ALERT_BOT_TOKEN, SMTP_URL, ALERT_COMMAND or ALERT_WEBHOOK_URL "
        "(katana init asks)");
  else
    report.good("katana alert-test sends through each of them");
  if (!a.telegram_token.empty() && a.ops_users.empty())
    report.warn(
        "nobody may use the alerts' buttons: set KATANA_OPS_USERS to the Telegram ids of those on duty");
  if (!a.deadman_url.empty())
    report.good("a dead-man URL is asked while alerts would get through (katana status says when)");
  else
    report.warn(
        "nobody outside notices when this whole machine is gone: set ALERT_DEADMAN_URL, or let a monitor on "
        "another one ask for the gateway's /health (KATANA_GATEWAY_HTTP)");
}

}  // namespace

int run_check_config(const config::CommandLine& line) {
  std::vector<std::string> warnings;
  const auto env = config::gather(line, warnings, true);
  if (!env) return std::fprintf(stderr, "%s\n", env.error().detail.c_str()), 2;
  const auto problems = config::problems_of(config::Program::Up, *env);
  if (const auto settings = config::load(config::Program::Tool, *env)) {
    for (const auto& w : settings->warnings)
      if (std::find(problems.begin(), problems.end(), w) == problems.end()) warnings.push_back(w);
  }
  for (const auto& w : warnings)
    std::printf("warning: %s\n", w.c_str());
  for (const auto& p : problems)
    std::fprintf(stderr, "%s\n", p.c_str());
  if (problems.empty()) std::printf("The settings are good.\n");
  return problems.empty() ? 0 : 2;
}

int run_doctor(const config::CommandLine& line) {
  Report report;
  std::vector<std::string> warnings;
  const auto env = config::gather(line, warnings, true);
  if (!env) {
    report.broken(env.error().detail);
    return report.status();
  }
  const auto problems = config::problems_of(config::Program::Up, *env);
  for (const auto& p : problems)
    report.broken(p);
  const auto settings = config::load(config::Program::Tool, *env);
  if (!settings) {
    report.broken(settings.error().detail);
    return report.status();
  }
  for (const auto& w : warnings)
    report.warn(w);
  for (const auto& w : settings->warnings)
    if (std::find(problems.begin(), problems.end(), w) == problems.end()) report.warn(w);
  if (problems.empty()) report.good("settings");
  examine_places(*settings, report);
  examine_processes(*settings, report);
  examine_store(line, report);
  Try net;
  examine_bot("users' bot", {settings->telegram.api_url, settings->telegram.token, settings->telegram.proxy},
              net, report, true);
  examine_bot("alert bot",
              {settings->telegram.api_url, settings->alerts.telegram_token, settings->telegram.proxy}, net,
              report, false);
  const config::ModelTable table = table_of(*settings);
  examine_provider("claude", settings->claude, table, net, report);
  examine_provider("openai", settings->openai, table, net, report);
  examine_channels(*settings, report);
  return report.status();
}

}  // namespace katana::watchdog
