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

}  // namespace katana::service
