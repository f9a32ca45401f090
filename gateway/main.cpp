// katana-gateway: talks to the users' bot, owns the store, hands jobs to workers. What it is made of:
// gateway/README.md.
#include <string_view>

#include "common/config/models.hpp"
#include "common/log/log.hpp"
#include "common/service/program.hpp"
#include "gateway/gateway.hpp"
#include "gateway/store_command.hpp"

int main(int argc, char** argv) {
  using namespace katana;
  if (argc > 1 && std::string_view(argv[1]) == "store") return gateway::run_store_command(argc - 1, argv + 1);
  const service::ProgramInfo info{.about = {"katana-gateway",
                                            "Polls Telegram, keeps the conversations, and hands questions to "
                                            "the workers. With `store check` or "
                                            "`store restore FILE` it works on a store that no gateway has: "
                                            "see katana doctor, katana restore."},
                                  .kind = config::Program::Gateway,
                                  .component = "gateway",
                                  .makes_directories = true};
  return service::run_program(
      argc, argv, info, [](const config::Settings& settings, const config::CommandLine& line) {
        auto models = config::shipped_models_path().and_then(
            [&](const std::string& shipped) { return config::load_models(shipped, settings.models_file); });
        if (models) return gateway::run(settings, line, std::move(*models));
        log::Room{"settings"}.critical("KATANA_MODELS: {}", models.error().detail);
        return 2;
      });
}
