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
    close_of(watched);
}

void Exits::close_of(Watched& watched) {
  watched.readable.reset();
  if (watched.fd >= 0) close(std::exchange(watched.fd, -1));
}

void Exits::watch(const std::string& instance, std::int64_t pid) {
  Watched& watched = watched_[instance];
  if (watched.pid == pid) return;
  close_of(watched);
  watched.ended = false;
  watched.pid = pid;  // also where it can't be watched: it isn't tried with each beat
  if (pid <= 0 || !is_ours(pid)) return;
  watched.fd = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
  if (watched.fd < 0) return;
  watched.readable = loop_.watch(watched.fd, loop::Io::Read, [this, instance, pid](loop::Ready) {
    const auto it = watched_.find(instance);
    if (it == watched_.end() || it->second.pid != pid) return;
    close_of(it->second);
    it->second.ended = true;
    on_exit_(instance, pid);
  });
}

Presence Exits::presence(const std::string& instance, std::int64_t pid) const {
  const auto it = watched_.find(instance);
  if (it == watched_.end() || it->second.pid != pid) return Presence::Unknown;
  if (it->second.ended) return Presence::Gone;
  return it->second.fd >= 0 ? Presence::There : Presence::Unknown;
}

void Exits::sweep(const std::function<bool(const std::string& instance)>& known) {
  for (auto it = watched_.begin(); it != watched_.end();) {
    const bool stays = known(it->first);
    if (!stays) close_of(it->second);
    it = stays ? std::next(it) : watched_.erase(it);
  }
}

}  // namespace katana::watchdog
