// katana-openai: a worker that answers with OpenAI's models, or those of a compatible server. What it is made
// of: workers/README.md.
#include "workers/openai/openai.hpp"
#include "workers/program.hpp"

int main(int argc, char** argv) {
  using namespace katana;
  return workers::run(argc, argv,
                      {.kind = config::Program::OpenAi,
                       .program = "katana-openai",
                       .component = "openai",
                       .label = "OpenAI",
                       .key_setting = "OPENAI_API_KEY",
                       .account = &config::Settings::openai,
                       .make = &openai::make_provider});
}
