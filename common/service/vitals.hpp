#pragma once

#include <cstdint>
#include <string>

namespace katana::service {

/// What the kernel says about this process. Keeps one descriptor, so that a beat costs two system calls.
class Vitals {
 public:
  Vitals();
  ~Vitals();
  Vitals(const Vitals&) = delete;
  Vitals& operator=(const Vitals&) = delete;

  [[nodiscard]] std::uint64_t rss_bytes() const;  ///< 0 where /proc doesn't tell
  [[nodiscard]] std::uint64_t cpu_ms() const;     ///< user and system time of all threads since the start

 private:
  int statm_ = -1;
};

std::string host_name();

/// What a file system has room for, for us; zeros where it doesn't tell.
struct DiskSpace {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
};
DiskSpace disk_space(const std::string& path);

}  // namespace katana::service
