#include "watchdog/cli/keygen.hpp"

#include <cstdio>
#include <filesystem>
#include <vector>

#include "common/bus/zmq_bus.hpp"
#include "common/config/command_line.hpp"

namespace katana::watchdog {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInstalledKeys = "/etc/katana/keys";
constexpr auto kReadable = static_cast<fs::perms>(0644);
constexpr auto kOpen = static_cast<fs::perms>(0755);

fs::path installed_secret(const std::string& file) {
  return config::kInstalledSecrets + file;
}

Result<void> set_mode(const fs::path& path, fs::perms mode) {
  std::error_code error;
  fs::permissions(path, mode, error);
  if (error) return fail(Code::Internal, path.string() + ": " + error.message());
  return {};
}

/// Everybody may look into `directory`, and read the public keys among `files`.
Result<void> open_to_units(const fs::path& directory, const std::vector<fs::path>& files) {
  auto done = set_mode(directory, kOpen);
  for (const fs::path& file : files)
    if (done && file.extension() == ".public") done = set_mode(file, kReadable);
  return done;
}

Result<void> none_installed() {
  for (const char* file : {"server.secret", "worker.secret", "watchdog.secret"})
    if (fs::exists(installed_secret(file)))
      return fail(Code::Rejected,
                  installed_secret(file).string() + " is there already; keys are never overwritten");
  return {};
}

Result<void> install(const fs::path& directory, const std::vector<std::string>& files) {
  for (const fs::path file : files) {
    if (file.extension() != ".secret") continue;
    std::error_code error;
    fs::copy_file(file, installed_secret(file.filename()), error);
    if (!error) fs::remove(file, error);
    if (error) return fail(Code::Internal, file.string() + ": " + error.message());
  }
  return open_to_units(directory, {files.begin(), files.end()}).and_then([&] {
    return set_mode(directory / "authorized", kOpen);
  });
}

Result<std::string> make_all(const std::string& directory, bool installed) {
  if (installed) {
    if (auto free = none_installed(); !free) return fail(free.error());
  }
  const auto made = bus::ZmqBus::make_keys(directory);
  if (!made) return fail(made.error());
  if (installed) {
    if (auto done = install(directory, *made); !done) return fail(done.error());
    return directory + ", and the secret ones in " + config::kInstalledSecrets +
           "…: set KATANA_KEYS=" + directory + " in " + config::kInstalledFile + "\n";
  }
  std::string said;
  for (const auto& path : *made)
    said += path + "\n";
  return said + "Set KATANA_KEYS=" + directory +
         " for every process; another machine needs only its own pair (worker.* or watchdog.*) and "
         "server.public, and "
         "watchdog.public for its heartbeats: katana keygen " +
         directory + " --worker NAME lays that out for one more.\n";
}

Result<std::string> make_one_more(const std::string& directory, const std::string& worker, bool installed) {
  const auto home = bus::ZmqBus::make_worker_keys(directory, worker);
  if (!home) return fail(home.error());
  const std::string authorized = directory + "/authorized/" + worker + ".public";
  if (installed) {
    // The folder becomes /etc/katana/keys of another machine.
    auto done = open_to_units(
        *home, {authorized, *home + "/worker.public", *home + "/server.public", *home + "/watchdog.public"});
    if (!done) return fail(done.error());
  }
  return *home +
         ": move it to the other machine, and set KATANA_KEYS to it there. Its key is let in after a SIGHUP "
         "to " +
         "the gateway and to the watchdog (systemctl reload katana-gateway katana-watchdog); a watchdog "
         "elsewhere needs " +
         authorized + ", too.\n";
}

}  // namespace

int run_keygen(const std::string& directory, const std::string& worker, bool installed) {
  const std::string place = installed ? kInstalledKeys : directory;
  if (place.empty()) return std::fprintf(stderr, "katana: write keygen DIR, or keygen --system\n"), 2;
  const auto said = worker.empty() ? make_all(place, installed) : make_one_more(place, worker, installed);
  if (!said) return std::fprintf(stderr, "katana: %s\n", said.error().detail.c_str()), 1;
  std::fputs(said->c_str(), stdout);
  return 0;
}

}  // namespace katana::watchdog
