// katana: the operator's command. It asks the gateway and the watchdog over their control sockets, and opens
// no store.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "common/control/control.hpp"
#include "common/log/log.hpp"
#include "watchdog/cli/check.hpp"
#include "watchdog/cli/doctor.hpp"
#include "watchdog/cli/drill.hpp"
#include "watchdog/cli/gateway_program.hpp"
#include "watchdog/cli/init.hpp"
#include "watchdog/cli/keygen.hpp"
#include "watchdog/cli/reference.hpp"
#include "watchdog/cli/try.hpp"
#include "watchdog/cli/up.hpp"

namespace katana::watchdog {
namespace {

/// Ends the command with status 2, as every program does.
struct BadSetting : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr Millis kAnswer{15'000};
constexpr Millis kWatchEvery{1'000};
constexpr Millis kCopyAnswer{3'600'000};  // a large store on a slow disk
constexpr Millis kAlertAnswer{70'000};    // a channel may take its time

/// The command line: what was asked for, and the options of all verbs.
struct Cli {
  CLI::App app{"Runs and looks after Katana: a bot between Telegram, Claude and OpenAI.", "katana"};
  config::CommandLine line{};
  std::function<int()> chosen{};

  bool system = false, json = false, watch = false, alert = false, admin = false, force = false,
       replace = false;
  std::string worker, name, file, retry, drop, span;
  std::vector<std::string> words;
  int threshold = 120;

  CLI::App* verb(const char* verb_name, const char* what, std::function<int()> run) {
    CLI::App* sub = app.add_subcommand(verb_name, what);
    sub->callback([this, run = std::move(run)] { chosen = run; });
    return sub;
  }

  [[nodiscard]] config::Settings settings() const {
    auto loaded = config::load(config::Program::Tool, line);
    if (!loaded) throw BadSetting(loaded.error().detail);
    for (const auto& secret : config::secrets_of(*loaded))
      log::hide(secret.reveal());
    return std::move(*loaded);
  }

  [[nodiscard]] int ask(const char* process, const control::Request& request,
                        Millis timeout = kAnswer) const {
    const auto answer = control::ask(settings().run_dir + "/" + process + ".sock", request, timeout);
    if (!answer) return std::fprintf(stderr, "katana: %s\n", answer.error().detail.c_str()), 1;
    const bool ended = answer->text.empty() || answer->text.back() == '\n';
    const bool shown = answer->status == 0 || request.verb == "status" || request.verb == "alert-test";
    std::fprintf(shown ? stdout : stderr, "%s%s", answer->text.c_str(), ended ? "" : "\n");
    return answer->status;
  }
};

int status(const Cli& cli) {
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  std::vector<std::string> words;
  if (cli.json) words.emplace_back("json");
  if (terminal) words.emplace_back("colour");
  if (!cli.watch) return cli.ask("watchdog", {"status", words});
  // Until Ctrl-C, or until nobody reads any more. A terminal shows the newest alone, anything else gets all.
  for (;;) {
    if (terminal && !cli.json) std::printf("\x1b[H\x1b[2J");
    static_cast<void>(cli.ask("watchdog", {"status", words}));
    if (std::fflush(stdout) != 0) return 0;
    std::this_thread::sleep_for(kWatchEvery);
  }
}

/// Through the running watchdog, so that what is tested is what will be used; without one, through the
/// settings here.
int alert_test(const Cli& cli) {
  const auto settings = cli.settings();
  const auto answer = control::ask(settings.run_dir + "/watchdog.sock", {"alert-test", {}}, kAlertAnswer);
  if (answer) return std::printf("%s", answer->text.c_str()), answer->status;
  Try net;
  const auto results = net.send(settings, notice_of(NoticeKind::Test, "katana",
                                                    "alert from katana alert-test", "none, this is a test"));
  if (results.empty()) return std::fprintf(stderr, "nobody will be told: no alert channel is set\n"), 1;
  int out = 0;
  for (const auto& [channel, result] : results) {
    std::printf("%s: %s\n", channel.c_str(),
                (result ? "sent: " + result->said : "failed: " + result.error().detail).c_str());
    if (!result) out = 1;
  }
  return out;
}

int check_heartbeat_verb(const Cli& cli) {
  const auto settings = cli.settings();
  const std::string file = cli.file.empty() ? settings.heartbeat_file : cli.file;
  const Verdict verdict = check_heartbeat(file, Seconds{cli.threshold}, SystemClock().wall());
  const int out = tell(verdict);
  if (verdict.ok || !cli.alert) return out;
  Try net;
  const auto results = net.send(settings, notice_of(NoticeKind::Opened, "katana check-heartbeat",
                                                    verdict.line.substr(10), "answers may not be coming"));
  if (results.empty()) std::fprintf(stderr, "nobody was told: no alert channel is set\n");
  for (const auto& [channel, result] : results)
    if (!result) std::fprintf(stderr, "not told by %s: %s\n", channel.c_str(), result.error().detail.c_str());
  return out;
}

/// The gateway's program opens the store, not this one.
int restore(const Cli& cli) {
  const std::string file = std::filesystem::absolute(cli.name).string();
  std::vector<std::string> words{"store", "restore", file};
  if (cli.replace) words.emplace_back("--replace");
  return run_gateway_program(cli.line, words, nullptr);
}

void add_gateway_verbs(Cli& cli) {
  auto* allow = cli.verb("allow", "Lets somebody in, by pairing code or Telegram user id", [&] {
    std::vector<std::string> words{cli.name};
    if (cli.admin) words.emplace_back("--admin");
    return cli.ask("gateway", {"allow", words});
  });
  allow->add_option("who", cli.name, "Code or user id")->required()->type_name("CODE|USER_ID");
  allow->add_flag("--admin", cli.admin, "As an admin");
  cli.verb("deny", "Shuts somebody out",
           [&] {
             return cli.ask("gateway", {"deny", {cli.name}});
           })
      ->add_option("who", cli.name, "Code or user id")
      ->required()
      ->type_name("CODE|USER_ID");
  cli.verb("users", "Lists who may use the bot", [&] { return cli.ask("gateway", {"users", {}}); });
  cli.verb("usage", "What was used in the last 24 hours", [&] { return cli.ask("gateway", {"usage", {}}); });
  cli.verb("trace", "What became of a question, by the id in its user's message",
           [&] {
             return cli.ask("gateway", {"trace", {cli.name}});
           })
      ->add_option("id", cli.name, "The id")
      ->required()
      ->type_name("ID");
  auto* letters = cli.verb("dead-letters", "Lists the questions that two workers died under", [&] {
    if (!cli.retry.empty()) return cli.ask("gateway", {"dead-letters", {"retry", cli.retry}});
    if (!cli.drop.empty()) return cli.ask("gateway", {"dead-letters", {"drop", cli.drop}});
    return cli.ask("gateway", {"dead-letters", {}});
  });
  auto* retry = letters->add_option("--retry", cli.retry, "Ask this one again")->type_name("ID");
  letters->add_option("--drop", cli.drop, "Forget this one")->type_name("ID")->excludes(retry);
  cli.verb("reload", "Tries polling and sending again, and reads files anew", [&] {
    return cli.ask("gateway", {"reload", {}});
  });
  cli.verb(
         "backup", "Writes a copy of the store",
         [&] {
           // The gateway stands in another directory.
           return cli.ask("gateway", {"backup", {std::filesystem::absolute(cli.name).string()}}, kCopyAnswer);
         })
      ->add_option("file", cli.name, "Where to")
      ->required()
      ->type_name("FILE");
  auto* restore_verb = cli.verb("restore", "Puts a backup in the store's place, while no gateway runs",
                                [&] { return restore(cli); });
  restore_verb->add_option("file", cli.name, "The backup")->required()->type_name("FILE");
  restore_verb->add_flag("--replace", cli.replace, "Also where there is a store; that one is kept beside it");
}

void add_watch_verbs(Cli& cli) {
  cli.verb("status", "Shows all processes, open incidents and alert channels", [&] { return status(cli); })
      ->add_flag("--json", cli.json, "As JSON");
  cli.app.get_subcommand("status")->add_flag("--watch", cli.watch, "Again every second");
  cli.verb("incidents", "Lists incidents, open ones first", [&] {
    return cli.ask("watchdog", {"incidents", {}});
  });
  cli.verb("alert-test", "Sends a test alert through every channel and says what the other side answered",
           [&] { return alert_test(cli); });
  cli.verb("drill",
           "Announces it, kills a worker at its work, and shows page, answer and resolution with their times",
           [&] { return run_drill(cli.settings().run_dir); });
  auto* heartbeat = cli.verb("check-heartbeat", "Checks the gateway's heartbeat file: OK or CRITICAL",
                             [&] { return check_heartbeat_verb(cli); });
  heartbeat->add_option("--file", cli.file, "The file (default: the deployment's)")->type_name("FILE");
  heartbeat->add_option("--threshold", cli.threshold, "Largest age")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 366 * 86400));
  heartbeat->add_flag("--alert", cli.alert, "If it is critical, tell so through the alert channels");
  cli.verb("check-process", "Checks that a process or a component is up: OK or CRITICAL",
           [&] { return tell(check_process(cli.settings(), cli.name)); })
      ->add_option("name", cli.name, "gateway, claude, claude-1, openai, watchdog …")
      ->required();
}

/// What the ops chat and the page can do as well.
void add_duty_verbs(Cli& cli) {
  const auto about = [&cli] {
    return cli.name.empty() ? std::vector<std::string>{} : std::vector<std::string>{cli.name};
  };
  cli.verb("ack", "Says that you look after an incident: no escalation, fewer reminders",
           [&cli, about] {
             return cli.ask("watchdog", {"ack", about()});
           })
      ->add_option("incident", cli.name, "Its id (default: all open ones)")
      ->type_name("INCIDENT");
  auto* silence = cli.verb("silence", "No alerts about something for a while", [&cli] {
    return cli.ask("watchdog", {"silence", {cli.name, cli.span.empty() ? "1h" : cli.span}});
  });
  silence
      ->add_option("what", cli.name, "A process (claude-1), a component (claude), an incident's id, or all")
      ->required();
  silence->add_option("--for", cli.span, "How long (default 1h)")->type_name("30m|2h|7d");
  cli.verb("unsilence", "Alerts again",
           [&cli, about] {
             return cli.ask("watchdog", {"unsilence", about()});
           })
      ->add_option("what", cli.name, "What was silenced")
      ->required();
  cli.verb("restart", "Ends a process in good order and starts it again (under katana up)",
           [&cli, about] {
             return cli.ask("watchdog", {"restart", about()});
           })
      ->add_option("process", cli.name, "claude-1, gateway …")
      ->required();
}

void add_set_up_verbs(Cli& cli) {
  auto* init = cli.verb(
      "init", "Asks for token and keys, checks each, writes the settings and sends a test alert", [&] {
        if (cli.system) return run_init_installed(cli.force);
        return run_init(cli.line.env_file.empty() ? ".env" : cli.line.env_file, cli.force);
      });
  init->add_flag("--force", cli.force, "Write over settings that are there");
  init->add_flag("--system", cli.system, "For the installed package: its settings, and its units' secrets");
  cli.verb("doctor", "Examines settings, processes, tokens, keys and channels, and says the mend",
           [&] { return run_doctor(cli.line); });
  cli.verb("check-config", "Checks the settings", [&] { return run_check_config(cli.line); });
  auto* keys = cli.verb("keygen", "Makes the keys for a deployment over several machines",
                        [&] { return run_keygen(cli.name, cli.worker, cli.system); });
  keys->add_option("directory", cli.name, "A new directory")->type_name("DIR");
  keys->add_option("--worker", cli.worker, "One more worker's key, in a folder for another machine")
      ->type_name("NAME");
  keys->add_flag("--system", cli.system, "For the installed package: into /etc/katana/keys");
  cli.verb("version", "Prints the version", [] {
    std::printf("%s\n", config::version_of({"katana", ""}).c_str());
    return 0;
  });
  const auto print = [&](const char* verb, const char* what, std::string (*text)(const CLI::App&)) {
    cli.verb(verb, what, [&cli, text] { return std::fputs(text(cli.app).c_str(), stdout) < 0 ? 1 : 0; });
  };
  print("completion-bash", "Prints the completion for bash, to be sourced", bash_completion);
  print("completion-zsh", "Prints the completion for zsh, to be put into its function path as _katana",
        zsh_completion);
  print("manual", "Prints this command's manual page, katana(1)", manual);
  // Only for --help: `up` reads its own options, as every process does.
  cli.app.add_subcommand("up", "Runs the whole system on this machine, in the foreground");
}

/// Where the verb stands: the first word that is no option; `argc` without one.
int verb_at(int argc, char** argv) {
  int i = 1;
  while (i < argc && argv[i][0] == '-')
    i += std::string_view(argv[i]) == "--env-file" || std::string_view(argv[i]) == "--instance" ? 2 : 1;
  return std::min(i, argc);
}

int run(int argc, char** argv) {
  // `katana up --env-file F` and `katana --env-file F up` both work.
  if (const int i = verb_at(argc, argv); i < argc && std::string_view(argv[i]) == "up") {
    std::vector<const char*> rest{argv[0]};
    rest.insert(rest.end(), argv + 1, argv + i);
    rest.insert(rest.end(), argv + i + 1, argv + argc);
    return run_up(static_cast<int>(rest.size()), rest.data());
  }
  Cli cli;
  cli.app.set_version_flag("--version", config::version_of({"katana", ""}));
  cli.app.set_help_flag("--help", "Print this and exit");
  cli.app
      .add_option("--env-file", cli.line.env_file, "File with settings; default: .env here, if there is one")
      ->type_name("FILE");
  cli.app.require_subcommand(0, 1);
  cli.app.fallthrough();
  add_set_up_verbs(cli);
  add_watch_verbs(cli);
  add_duty_verbs(cli);
  add_gateway_verbs(cli);
  try {
    cli.app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return cli.app.exit(asked), 0;
  } catch (const CLI::ParseError& error) {
    return std::fprintf(stderr, "katana: %s (see katana --help)\n", error.what()), 2;
  }
  if (!cli.chosen) return std::fprintf(stderr, "katana: what is it to do? (see katana --help)\n"), 2;
  return cli.chosen();
}

}  // namespace
}  // namespace katana::watchdog

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return katana::watchdog::run(argc, argv);
  } catch (const katana::watchdog::BadSetting& error) {
    std::fprintf(stderr, "katana: %s\n", katana::log::redact(error.what()).c_str());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "katana: %s\n", katana::log::redact(error.what()).c_str());
    return 1;
  }
}
