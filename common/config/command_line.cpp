#include "common/config/command_line.hpp"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config/names.hpp"
#include "common/config/sources.hpp"
#include "common/core/text.hpp"

namespace katana::config {
namespace {

constexpr const char* kFileBeside = ".env";

bool holds_secret(const Environment& file) {
  for (const auto& [name, value] : file) {
    const Name* known = find_name(name);
    if (known != nullptr && known->secret && !value.empty()) return true;
  }
  return false;
}

/// What the units' processes get, for the operator's command: settings that are said nowhere else. Only root
/// may read the secrets.
Result<void> add_installed(Environment& env, std::vector<std::string>& warnings) {
  for (const char* path : {kInstalledFile, kInstalledDefaults}) {
    if (access(path, R_OK) != 0) continue;
    auto file = read_env_file(path);
    if (!file) return fail(file.error());
    if (holds_secret(*file)) {
      warnings.push_back(std::string(path) + ": holds secrets, and every process gets them; put each into " +
                         kInstalledSecrets + "NAME");
    }
    env = merged(env, *file);
  }
  for (const Name& name : all_names()) {
    const std::string path = kInstalledSecrets + std::string(name.name);
    const std::string by_file = std::string(name.name) + "_FILE";
    if (name.secret && env.count(std::string(name.name)) + env.count(by_file) == 0 &&
        access(path.c_str(), R_OK) == 0)
      env[by_file] = path;
  }
  return {};
}

}  // namespace

std::string version_of(const About& about) {
  return about.program + " " + KATANA_VERSION;
}

tl::expected<CommandLine, int> parse_command_line(int argc, const char* const* argv, const About& about) {
  CommandLine line;
  CLI::App app{about.purpose, about.program};
  app.set_version_flag("--version", version_of(about));
  app.set_help_flag("--help", "Print this and exit");
  app.add_option("--env-file", line.env_file,
                 "File with settings (NAME=value); default: .env here, if there is one")
      ->type_name("FILE");
  app.add_option("--instance", line.instance, "This process's name among its kind, such as claude-2")
      ->type_name("NAME");
  app.footer(
      "Settings come from the environment and from that file; deploy/katana.env.example explains each.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help or --version
    app.exit(asked);
    return tl::unexpected<int>(0);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s (see --help)\n", about.program.c_str(),
                 text::one_line(error.what()).c_str());
    return tl::unexpected<int>(2);
  }
  return line;
}

Result<Environment> gather(const CommandLine& line, std::vector<std::string>& warnings, bool or_installed) {
  Environment env = process_environment();
  const bool named = !line.env_file.empty();
  const std::string path = named ? line.env_file : kFileBeside;
  if (named || access(path.c_str(), F_OK) == 0) {
    auto file = read_env_file(path);
    if (!file) return fail(with_context(file.error(), named ? "--env-file" : ".env"));
    struct stat info {};
    if (holds_secret(*file) && stat(path.c_str(), &info) == 0 && open_to_others(info.st_mode)) {
      warnings.push_back(path + ": holds secrets, and other users can read it; run: chmod 600 " + path);
    }
    env = merged(env, *file);
  } else if (or_installed) {
    if (auto added = add_installed(env, warnings); !added) return fail(added.error());
  }
  if (!line.instance.empty()) env["KATANA_INSTANCE"] = line.instance;
  return env;
}

Result<Settings> load(Program program, const CommandLine& line) {
  std::vector<std::string> warnings;
  auto env = gather(line, warnings, program == Program::Tool);
  if (!env) return fail(env.error());
  auto settings = load(program, *env);
  if (settings) settings->warnings.insert(settings->warnings.begin(), warnings.begin(), warnings.end());
  return settings;
}

}  // namespace katana::config
