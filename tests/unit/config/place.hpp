#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

namespace katana::config {

/// A directory of the test's own, gone with it.
class Place {
 public:
  Place() {
    std::string pattern = (std::filesystem::temp_directory_path() / "katana-config-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Place() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string path = (path_ / name).string();
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace katana::config
