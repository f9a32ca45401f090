#include "watchdog/liveness/exits.hpp"

#include <fstream>
#include <utility>

#include <sys/syscall.h>
#include <unistd.h>

namespace katana::watchdog {
namespace {

/// A heartbeat's pid may be of another namespace, and mean somebody else here.
bool is_ours(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  return std::getline(file, name) && name.starts_with("katana-");
}

}  // namespace

Exits::~Exits() {
  for (auto& [instance, watched] : watched_)
    forget(watched);
}

void Exits::forget(Watched& watched) {
  watched.readable.reset();
  if (watched.fd >= 0) close(std::exchange(watched.fd, -1));
}

void Exits::watch(const std::string& instance, std::int64_t pid) {
  Watched& watched = watched_[instance];
  if (watched.pid == pid) return;
  forget(watched);
  watched.pid = pid;  // also where it can't be watched: it isn't tried with each beat
  if (pid <= 0 || !is_ours(pid)) return;
  watched.fd = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
  if (watched.fd < 0) return;
  watched.readable = loop_.watch(watched.fd, loop::Io::Read, [this, instance, pid](loop::Ready) {
    const auto it = watched_.find(instance);
    if (it == watched_.end() || it->second.pid != pid) return;
    forget(it->second);
    on_exit_(instance, pid);
  });
}

}  // namespace katana::watchdog
