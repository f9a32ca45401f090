#include "watchdog/cli/check.hpp"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <simdjson.h>

#include "common/control/control.hpp"
#include "common/core/text.hpp"
#include "watchdog/channels/disk.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kMaxFile = 4096;
constexpr std::int64_t kSkew = 5;  // seconds that another host's clock may be ahead

Verdict critical(std::string why) {
  return {false, "CRITICAL: " + std::move(why)};
}

Verdict by_watchdog(const std::string& json, const std::string& name) {
  simdjson::dom::parser parser;
  simdjson::dom::array processes;
  if (parser.parse(simdjson::padded_string(json))["processes"].get(processes))
    return critical("the watchdog's answer isn't understood");
  std::string seen;
  for (const auto p : processes) {
    std::string_view instance, component, state;
    if (p["instance"].get(instance) || p["component"].get(component) || p["state"].get(state)) continue;
    if (instance != name && component != name) continue;
    if (state == "up") return {true, "OK: " + std::string(instance) + " is up"};
    seen += (seen.empty() ? "" : ", ") + std::string(instance) + " is " + std::string(state);
  }
  return critical(seen.empty() ? name + ": the watchdog knows no such process" : seen);
}

/// In a container or a machine of its own, which is seen from here, it isn't ours.
bool in_our_namespace(const std::filesystem::path& process) {
  std::error_code unknown;
  const auto theirs = std::filesystem::read_symlink(process / "ns/pid", unknown);
  return unknown || theirs == std::filesystem::read_symlink("/proc/self/ns/pid", unknown);
}

/// Another deployment on this machine has another run directory. Where that isn't told, it may be ours.
bool of_deployment(const std::filesystem::path& process, const std::string& run_dir) {
  if (!in_our_namespace(process)) return false;
  std::ifstream file(process / "environ", std::ios::binary);
  constexpr std::string_view kName = "KATANA_RUN_DIR=";
  std::string entry;
  while (std::getline(file, entry, '\0'))
    if (entry.starts_with(kName)) return entry.substr(kName.size()) == run_dir;
  return true;
}

Verdict running(const std::string& program, const std::string& pid) {
  return {true, "OK: " + program + " runs as process " + pid + " (the watchdog can't be asked)"};
}

Verdict by_proc(const std::string& name, const std::string& run_dir) {
  const std::string program = "katana-" + name.substr(0, name.find('-'));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "comm");
    std::string comm;
    if (std::getline(file, comm) && comm == program.substr(0, 15) && of_deployment(entry.path(), run_dir))
      return running(program, pid);
  }
  return critical("no process " + program + " runs here, and the watchdog can't be asked");
}

}  // namespace

int tell(const Verdict& verdict) {
  std::fprintf(verdict.ok ? stdout : stderr, "%s\n", verdict.line.c_str());
  return verdict.ok ? 0 : 1;
}

Verdict judge_heartbeat(std::string_view content, const std::string& path, Seconds threshold, Wall now) {
  const auto word = text::trim(content);
  if (word.empty()) return critical("the heartbeat file " + path + " is empty");
  double stamp = 0;
  const auto [end, bad] =
      std::from_chars(word.data(), word.data() + word.size(), stamp, std::chars_format::fixed);
  if (bad != std::errc{} || end != word.data() + word.size() || !(stamp > 0 && stamp < 1e11))
    return critical("the heartbeat file " + path + " holds no timestamp");
  const auto age = to_unix(now) - static_cast<std::int64_t>(stamp);
  if (age < -kSkew)
    return critical("the heartbeat in " + path + " lies " + std::to_string(-age) +
                    " seconds in the future: check the clocks");
  const std::string words = std::to_string(std::max<std::int64_t>(age, 0)) + " seconds old (threshold " +
                            std::to_string(threshold.count()) + ")";
  if (age > threshold.count()) return critical("the heartbeat is stale: " + words + ": " + path);
  return {true, "OK: the heartbeat is fresh: " + words};
}

Verdict check_heartbeat(const std::string& path, Seconds threshold, Wall now) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (error) return critical("the heartbeat file " + path + " can't be read: " + error.message());
    return critical("the heartbeat file " + path + " is not there");
  }
  if (!std::filesystem::is_regular_file(path, error))
    return critical("the heartbeat file " + path + " can't be read: it is not a regular file");
  const auto content = read_whole(path, kMaxFile);
  if (!content) return critical("the heartbeat file can't be read: " + content.error().detail);
  return judge_heartbeat(*content, path, threshold, now);
}

Verdict check_process(const config::Settings& settings, const std::string& name) {
  if (name == "watchdog") {
    const auto answer = control::ask(settings.run_dir + "/watchdog.sock", {"incidents", {}}, Millis{5'000});
    if (answer) return {true, "OK: the watchdog answers"};
    return by_proc(name, settings.run_dir);
  }
  const auto answer = control::ask(settings.run_dir + "/watchdog.sock", {"status", {"json"}}, Millis{5'000});
  return answer ? by_watchdog(answer->text, name) : by_proc(name, settings.run_dir);
}

}  // namespace katana::watchdog
