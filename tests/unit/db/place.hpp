#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/core/id.hpp"
#include "common/loop/loop.hpp"

namespace katana::db {

/// A directory that goes with the test; in memory where there is a place for that, because every commit is
/// forced to the disk, and others may be using it.
class Folder {
 public:
  Folder() {
    std::error_code failed;
    const std::filesystem::path memory = "/dev/shm";
    path_ = memory / ("katana-" + fresh_id());
    if (!std::filesystem::create_directory(path_, failed)) {
      path_ = std::filesystem::temp_directory_path() / path_.filename();
      std::filesystem::create_directory(path_);
    }
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline mode_t mode_of(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 0777;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Turns the loop until `done` holds. A test that waits in vain fails after 30 s.
inline void run_until(loop::Loop& loop, const std::function<bool()>& done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!done() && std::chrono::steady_clock::now() < limit)
    loop.run_once(Millis{50});
  ASSERT_TRUE(done()) << "no completion came";
}

}  // namespace katana::db
