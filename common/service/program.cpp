#include "common/service/program.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log/log.hpp"

namespace katana::service {
namespace {

constexpr log::Room kLog{};

constexpr int kExitBadSetting = 2;
constexpr int kExitFailed = 1;

int refuse(const ProgramInfo& info, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", info.about.program.c_str(), log::redact(why).c_str());
  return kExitBadSetting;
}

/// A setting that is wrong is refused; what fails otherwise may go well at the next start.
int give_up(const ProgramInfo& info, const Error& error) {
  const int status = refuse(info, error.detail);
  return error.code == Code::Rejected ? status : kExitFailed;
}

void hide_secrets(const config::Settings& settings) {
  for (const Secret& secret : config::secrets_of(settings))
    log::hide(secret.reveal());
}

/// In a directory, each process has a file of its own.
Result<void> log_to_file(const ProgramInfo& info, const config::Settings& settings) {
  if (settings.log_file.empty()) return {};
  std::filesystem::path path = settings.log_file;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    path /= (settings.instance.empty() ? info.component : settings.instance) + ".log";
  auto done = log::to_file(path);
  if (!done) done.error().detail = "KATANA_LOG_FILE: " + done.error().detail;
  return done;
}

void open_log(const ProgramInfo& info, const config::Settings& settings) {
  log::open(info.component, settings.log_level, settings.log_format);
  kLog.info("Initializing {}", config::version_of(info.about));
  for (const auto& warning : settings.warnings)
    kLog.warn("{}", warning);
}

/// What the machine lacks for now, and no setting mends: the program fails, and is started again.
bool of_the_machine(int reason) {
  switch (reason) {
    case EROFS:
    case EIO:
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return true;
    default:
      return false;
  }
}

/// A stream needs a descriptor or two, and the usual soft limit of 1,024 would end at some 500 of them.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

std::optional<config::Settings> settings_again(config::Program program, const config::CommandLine& line) {
  auto fresh = config::load(program, line);
  if (!fresh) {
    kLog.error("The settings were not read again: {}", fresh.error().detail);
    return std::nullopt;
  }
  hide_secrets(*fresh);
  return std::move(*fresh);
}

void reopen_log() {
  if (const auto done = log::reopen(); done) {
    kLog.info("SIGUSR1 received: the log goes on here");
  } else {
    kLog.error("SIGUSR1 received: {}; it goes on in the old file", done.error().detail);
  }
}

Result<void> make_directory(const std::string& path, std::string_view setting) {
  const mode_t before = umask(S_IRWXG | S_IRWXO);  // the parents that are made here, too
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  umask(before);
  if (!failed && access(path.c_str(), R_OK | W_OK | X_OK) != 0) failed = {errno, std::generic_category()};
  if (!failed) return {};
  const std::string what = std::string(setting) + ": cannot use " + path + " (" + failed.message() + "); ";
  if (of_the_machine(failed.value())) return fail(Code::Internal, what + "see to its disk");
  return fail(Code::Rejected, what + "make it and give it to this user, or set " + std::string(setting) +
                                  " to another directory");
}

int run_program(int argc, const char* const* argv, const ProgramInfo& info,
                const std::function<int(const config::Settings&, const config::CommandLine&)>& body) {
  std::signal(SIGPIPE, SIG_IGN);  // before the first log line: its reader may be gone already
  std::signal(SIGUSR1, SIG_IGN);  // logrotate may come before we listen to it
  raise_file_limit();
  try {
    const auto line = config::parse_command_line(argc, argv, info.about);
    if (!line) return line.error();
    const auto settings = config::load(info.kind, *line);
    if (!settings) return refuse(info, settings.error().detail);
    if (info.makes_directories) {
      for (const auto& [path, setting] : {std::pair(settings->state_dir, "KATANA_STATE_DIR"),
                                          std::pair(settings->run_dir, "KATANA_RUN_DIR")}) {
        if (auto made = make_directory(path, setting); !made) return give_up(info, made.error());
      }
    }
    hide_secrets(*settings);
    if (auto done = log_to_file(info, *settings); !done) return give_up(info, done.error());
    open_log(info, *settings);
    const int status = body(*settings, *line);
    log::flush();
    return status;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: cannot start: %s\n", info.about.program.c_str(),
                 log::redact(error.what()).c_str());
    log::flush();
    return kExitFailed;
  }
}

}  // namespace katana::service
