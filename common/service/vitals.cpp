#include "common/service/vitals.hpp"

#include <array>
#include <charconv>
#include <climits>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace katana::service {

Vitals::Vitals() : statm_(open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {}

Vitals::~Vitals() {
  if (statm_ >= 0) close(statm_);
}

std::uint64_t Vitals::rss_bytes() const {
  std::array<char, 128> text{};
  const ssize_t n = statm_ < 0 ? -1 : pread(statm_, text.data(), text.size(), 0);
  if (n <= 0) return 0;
  const char* const end = text.data() + n;
  std::uint64_t size = 0;
  std::uint64_t resident = 0;  // the second number, in pages
  const auto first = std::from_chars(text.data(), end, size);
  if (first.ec != std::errc{} || first.ptr == end) return 0;
  if (std::from_chars(first.ptr + 1, end, resident).ec != std::errc{}) return 0;
  static const auto kPage = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return resident * kPage;
}

std::uint64_t Vitals::cpu_ms() const {
  rusage use{};
  if (getrusage(RUSAGE_SELF, &use) != 0) return 0;
  const auto ms = [](const timeval& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_usec) / 1000;
  };
  return ms(use.ru_utime) + ms(use.ru_stime);
}

DiskSpace disk_space(const std::string& path) {
  struct statvfs s {};
  if (statvfs(path.c_str(), &s) != 0) return {};
  return {static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize,
          static_cast<std::uint64_t>(s.f_blocks) * s.f_frsize};
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

}  // namespace katana::service
