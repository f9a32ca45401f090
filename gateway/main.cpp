// katana-gateway: talks to the users' bot, owns the store, hands jobs to workers. What it is made of:
// gateway/README.md.
#include <cstdio>

#include "common/config/command_line.hpp"
#include "common/config/models.hpp"
#include "common/log/log.hpp"
#include "gateway/gateway.hpp"

int main(int argc, char** argv) {
  using namespace katana;
  const auto line = config::parse_command_line(
      argc, argv,
      {"katana-gateway", "Polls Telegram, keeps the conversations, and hands questions to the workers."});
  if (!line) return line.error();
  auto settings = config::load(config::Program::Gateway, *line);
  if (!settings) return std::fprintf(stderr, "%s\n", settings.error().detail.c_str()), 2;
  auto models = config::shipped_models_path().and_then(
      [&](const std::string& shipped) { return config::load_models(shipped, settings->models_file); });
  if (!models) return std::fprintf(stderr, "KATANA_MODELS: %s\n", models.error().detail.c_str()), 2;
  log::open("gateway", settings->log_level, settings->log_format);
  for (const auto& warning : settings->warnings)
    log::room("settings")->warn("{}", warning);
  return gateway::run(*settings, std::move(*models));
}
