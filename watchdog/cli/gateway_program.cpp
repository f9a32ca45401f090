#include "watchdog/cli/gateway_program.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace katana::watchdog {
namespace {

std::string read_all(int fd) {
  std::string out;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t n = read(fd, part.data(), part.size());
    if (n > 0) out.append(part.data(), static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  while (!out.empty() && out.back() == '\n')
    out.pop_back();
  return out;
}

int end_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int run_gateway_program(const config::CommandLine& line, std::vector<std::string> words, std::string* said) {
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "katana-gateway").string();
  words.insert(words.begin(), program);
  if (!line.env_file.empty()) words.insert(words.end(), {"--env-file", line.env_file});
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);

  std::array<int, 2> ends{-1, -1};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (said != nullptr && pipe2(ends.data(), O_CLOEXEC) == 0) {
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  }
  pid_t child = -1;
  const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (ends[1] >= 0) close(ends[1]);
  if (said != nullptr && failed == 0) *said = read_all(ends[0]);
  if (ends[0] >= 0) close(ends[0]);
  if (failed == 0) return end_of(child);
  const std::string why = program + ": " + std::generic_category().message(failed);
  said != nullptr ? void(*said = why) : void(std::fprintf(stderr, "katana: %s\n", why.c_str()));
  return 1;
}

}  // namespace katana::watchdog
