#include <string>

#include "common/config/settings.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {
namespace {

/// Settings that name files are left out: a fuzzer has no business with the files of this machine.
bool names_a_file(const std::string& name, const std::string& value) {
  return name.ends_with("_FILE") || name == "CREDENTIALS_DIRECTORY" || value.find('/') != std::string::npos;
}

}  // namespace

/// A `.env` file, and the settings that every program makes of it.
void run(std::string_view input) {
  auto env = config::parse_env(input, "fuzz.env");
  if (!env) {
    require(env.error().detail.find("fuzz.env") != std::string::npos, "the error names the file");
    return;
  }
  std::erase_if(*env, [](const auto& entry) { return names_a_file(entry.first, entry.second); });
  using config::Program;
  for (const Program program :
       {Program::Gateway, Program::Claude, Program::OpenAi, Program::Watchdog, Program::Up, Program::Tool}) {
    const auto settings = config::load(program, *env);
    if (settings) continue;
    require(!settings.error().detail.empty(), "the error says why");
    require(settings.error().detail.find('\n') == std::string::npos, "the error is one line");
  }
}

}  // namespace katana::fuzz
