// katana-claude: a worker that answers with Anthropic's models. What it is made of: workers/README.md.
#include "workers/claude/claude.hpp"
#include "workers/program.hpp"

int main(int argc, char** argv) {
  using namespace katana;
  return workers::run(argc, argv,
                      {.kind = config::Program::Claude,
                       .program = "katana-claude",
                       .component = "claude",
                       .label = "Claude",
                       .key_setting = "ANTHROPIC_API_KEY",
                       .account = &config::Settings::claude,
                       .make = &claude::make_provider});
}
