#include "gateway/store_command.hpp"

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "common/config/command_line.hpp"
#include "common/control/control.hpp"
#include "common/log/log.hpp"
#include "gateway/store/rescue.hpp"

namespace katana::gateway {
namespace {

constexpr std::string_view kSqlite = "sqlite:";

int said(const Error& error) {
  std::fprintf(stderr, "%s\n", log::redact(error.detail).c_str());
  return 1;
}

int check(const std::string& path) {
  if (!std::filesystem::exists(path) && !std::filesystem::exists(path + "-wal")) {
    std::printf("%s: there is none yet; the gateway makes it\n", path.c_str());
    return 0;
  }
  const auto held = examine_store(path);
  if (!held) return said(held.error());
  std::printf("%s: whole, %lld answered questions, %lld open ones\n", path.c_str(),
              static_cast<long long>(held->answered), static_cast<long long>(held->open));
  return 0;
}

/// Root puts back what the gateway's own user must be able to open: whose directory it is, theirs are its
/// files.
void give_to_owner(const std::filesystem::path& store) {
  struct stat directory {};
  if (geteuid() != 0 || stat(store.parent_path().c_str(), &directory) != 0) return;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(store.parent_path(), ignored))
    if (entry.path().filename().string().starts_with(store.filename().string()))
      (void)lchown(entry.path().c_str(), directory.st_uid, directory.st_gid);
}

}  // namespace

int run_store_command(int argc, const char* const* argv) {
  config::CommandLine line;
  if (argc > 2 && std::string_view(argv[argc - 2]) == "--env-file") {
    line.env_file = argv[argc - 1];
    argc -= 2;
  }
  const std::string_view verb = argc > 1 ? argv[1] : "";
  const bool replace = argc == 4 && std::string_view(argv[3]) == "--replace";
  const bool restores = verb == "restore" && (argc == 3 || replace);
  if (!restores && !(verb == "check" && argc == 2)) {
    std::fprintf(stderr, "katana-gateway: write store check, or store restore FILE [--replace]\n");
    return 2;
  }
  const auto settings = config::load(config::Program::Tool, line);
  if (!settings) return std::fprintf(stderr, "%s\n", settings.error().detail.c_str()), 2;
  const std::string url = settings->store.reveal();
  if (!url.starts_with(kSqlite)) return said({Code::Rejected, "KATANA_STORE: this build has only SQLite"});
  const std::string path = url.substr(kSqlite.size());
  const auto answer = control::ask(settings->run_dir + "/gateway.sock", {"store", {}}, Millis{2'000});
  if (answer && !restores) {
    if (answer->status != 0) return said({Code::Internal, answer->text});
    return std::printf("%s\n", answer->text.c_str()), 0;
  }
  // A gateway that is slow to answer, or that won't answer us, runs all the same.
  const bool runs = answer || answer.error().code == Code::Timeout || answer.error().code == Code::Auth;
  if (runs && restores) {
    return said(
        {Code::Rejected,
         "the gateway runs, and nothing was changed; stop it first: end katana up (or: systemctl stop "
         "katana-gateway)"});
  }
  if (!restores) return check(path);
  const auto done = restore_store(std::filesystem::absolute(argv[2]).string(), path, replace);
  if (!done) return said(done.error());
  give_to_owner(path);
  std::printf("%s\n", done->c_str());
  return 0;
}

}  // namespace katana::gateway
