#include "watchdog/cli/up.hpp"

#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log/log.hpp"
#include "common/service/program.hpp"
#include "watchdog/channels/disk.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"up"};

std::string empty_env_file(const config::Settings& s) {
  return s.run_dir + "/none.env";
}

/// What a program may see, and the places that we chose for all of them.
std::vector<std::string> environment_of(config::Program program, const std::string& name,
                                        const config::Settings& s, const config::Environment& env) {
  config::Environment own;
  for (const auto& allowed : config::names_of(program))
    if (const auto it = env.find(allowed); it != env.end()) own.insert(*it);
  for (const auto& [key, value] : env)
    if (key.ends_with("SAN_OPTIONS")) own[key] = value;  // of the sanitizers' builds
  own.erase("KATANA_LOG_FILE");                          // their lines come to us
  own["KATANA_STATE_DIR"] = s.state_dir;
  own["KATANA_RUN_DIR"] = s.run_dir;
  own["KATANA_INSTANCE"] = name;
  if (program == config::Program::Gateway) {
    // It has no provider's key, and must know what to offer.
    own["KATANA_PROVIDERS"] = std::string(s.claude.on ? "claude" : "") +
                              (s.claude.on && s.openai.on ? "," : "") + (s.openai.on ? "openai" : "");
  }
  if (program == config::Program::Watchdog) {
    std::string expect;
    for (const auto& [component, count] : s.expect)
      expect.append(expect.empty() ? "" : ",").append(component).append(":").append(std::to_string(count));
    own["KATANA_EXPECT"] = expect;
  }
  std::vector<std::string> out;
  for (const auto& [key, value] : own)
    out.emplace_back(key).append("=").append(value);
  return out;
}

Program make(config::Program kind, const std::string& component, const std::string& name,
             const config::Settings& s, const config::Environment& env, const std::string& bin) {
  // A `.env` beside us is read by us alone: the children get their part of it, and an empty one in its place.
  return {name,
          component,
          {bin + "/katana-" + component, "--env-file", empty_env_file(s)},
          environment_of(kind, name, s, env)};
}

/// One `katana up` a run directory: two would fight over sockets, store and bot.
Result<int> lock(const config::Settings& s) {
  const std::string path = s.run_dir + "/up.lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::Internal, "cannot open " + path);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return fail(Code::Rejected,
              "katana up runs already with KATANA_RUN_DIR=" + s.run_dir +
                  "; stop that one, or set KATANA_STATE_DIR and KATANA_RUN_DIR to other directories");
}

int body(const config::Settings& settings, const config::CommandLine& line) {
  const auto locked = lock(settings);
  if (!locked) {
    kLog.critical("{}", locked.error().detail);
    return 1;
  }
  std::vector<std::string> unused;
  const auto env = config::gather(line, unused);
  const auto written = write_durably(empty_env_file(settings), "");
  if (!env || !written) {
    kLog.critical("{}", env ? written.error().detail : env.error().detail);
    return 1;
  }
  const std::string bin = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  auto programs = programs_of(settings, *env, bin);
  for (const char* provider : {"claude", "openai"})
    if (settings.expect.count(provider) == 0) kLog.info("{} is not configured and stays off", provider);
  loop::Loop loop;
  const SystemClock clock;
  return Parent(loop, clock, std::move(programs), watchdog_of(settings, *env, bin), STDOUT_FILENO).run();
}

}  // namespace

std::vector<Program> programs_of(const config::Settings& s, const config::Environment& env,
                                 const std::string& bin) {
  std::vector<Program> out;
  out.push_back(make(config::Program::Gateway, "gateway", "gateway", s, env, bin));
  for (int i = 1; s.claude.on && i <= s.claude_workers; ++i)
    out.push_back(make(config::Program::Claude, "claude", "claude-" + std::to_string(i), s, env, bin));
  for (int i = 1; s.openai.on && i <= s.openai_workers; ++i)
    out.push_back(make(config::Program::OpenAi, "openai", "openai-" + std::to_string(i), s, env, bin));
  return out;
}

Program watchdog_of(const config::Settings& s, const config::Environment& env, const std::string& bin) {
  Program program = make(config::Program::Watchdog, "watchdog", "watchdog", s, env, bin);
  program.argv.emplace_back("--supervise");
  return program;
}

int run_up(int argc, const char* const* argv) {
  const service::ProgramInfo info{
      {"katana up", "Runs the whole system on this machine, in the foreground, until Ctrl-C."},
      config::Program::Up,
      "katana",
      true};
  return service::run_program(argc, argv, info, body);
}

}  // namespace katana::watchdog
