// katana-watchdog: hears every process's heartbeats and tells people what broke. What it is made of:
// README.md here.
#include <string_view>
#include <vector>

#include "common/service/program.hpp"
#include "watchdog/watchdog.hpp"

int main(int argc, char** argv) {
  using namespace katana;
  // `katana up` passes this one, with its socket as our standard input; it is nothing for people.
  bool supervise = false;
  std::vector<const char*> args;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--supervise")
      supervise = true;
    else
      args.push_back(argv[i]);
  }
  const service::ProgramInfo info{
      {"katana-watchdog", "Hears the heartbeats of a deployment's processes and tells people what broke."},
      config::Program::Watchdog,
      "watchdog",
      true};
  return service::run_program(static_cast<int>(args.size()), args.data(), info,
                              [&](const config::Settings& settings, const config::CommandLine& line) {
                                return watchdog::Watchdog(settings, line, supervise).run();
                              });
}
