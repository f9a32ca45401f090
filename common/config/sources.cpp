#include "common/config/sources.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/text.hpp"

namespace katana::config {
namespace {

constexpr std::size_t kMaxSecretFile = 64 << 10;
constexpr std::string_view kContainerSecrets = "/run/secrets/";

std::string reason(int error) {
  return std::generic_category().message(error);
}

const std::string* value_of(const Environment& env, std::string_view name) {
  const auto at = env.find(std::string(name));
  return at == env.end() || at->second.empty() ? nullptr : &at->second;
}

std::optional<std::string> credential_path(const Environment& env, std::string_view name) {
  const std::string* directory = value_of(env, "CREDENTIALS_DIRECTORY");
  if (directory == nullptr) return std::nullopt;
  std::string path = *directory + "/" + std::string(name);
  // An empty one is none: Compose wants a file for each secret that its file names.
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_size == 0) return std::nullopt;
  return path;
}

/// A secret's file as the variable's value: without the line ends that editors and `echo` leave.
Result<std::string> read_secret(std::string_view name, const std::string& path, bool trusted_place,
                                std::vector<std::string>& warnings) {
  auto file = read_small_file(path, kMaxSecretFile);
  if (!file) return fail(file.error());
  if (open_to_others(file->mode)) {
    const std::string what = std::string(name) + ": other users can read " + path;
    // Docker's and Kubernetes's secret mounts often are 0644 and not ours to change; nobody else lives in
    // there.
    if (!trusted_place)
      return fail(Code::Rejected, what.substr(name.size() + 2) + "; run: chmod 600 " + path);
    warnings.push_back(what);
  }
  std::string& text = file->text;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
    text.pop_back();
  return std::move(text);
}

}  // namespace

Result<SmallFile> read_small_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: a FIFO must not hold up the start.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(Code::Internal, "cannot read " + path + ": " + reason(errno));
  struct stat info {};
  SmallFile out;
  Result<SmallFile> result = fail(Code::Internal, "cannot read " + path);
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    result = fail(Code::Rejected, path + " is not a regular file");
  } else {
    out.mode = info.st_mode;
    out.text.resize(limit + 1);
    std::size_t have = 0;
    ssize_t got = 0;
    while (have < out.text.size() && (got = read(fd, out.text.data() + have, out.text.size() - have)) > 0) {
      have += static_cast<std::size_t>(got);
    }
    const int error = errno;
    out.text.resize(have);
    if (got < 0) {
      result = fail(Code::Internal, "cannot read " + path + ": " + reason(error));
    } else if (have > limit) {
      result = fail(Code::Rejected, path + " is larger than " + std::to_string(limit >> 10) + " KiB");
    } else {
      result = std::move(out);
    }
  }
  close(fd);
  return result;
}

bool open_to_others(mode_t mode) {
  return (mode & (S_IROTH | S_IWOTH)) != 0;
}

Result<std::optional<std::string>> find_secret(const Environment& env, std::string_view name,
                                               std::vector<std::string>& warnings) {
  const std::string* direct = value_of(env, name);
  const std::string* file = value_of(env, std::string(name) + "_FILE");
  if (direct != nullptr && file != nullptr) {
    return fail(Code::Rejected, "set both here and by " + std::string(name) + "_FILE; keep one of them");
  }
  if (direct != nullptr) return std::optional<std::string>(text::trim(*direct));
  std::optional<std::string> path;
  bool trusted_place = false;
  if (file != nullptr) {
    path = *file;
    trusted_place = file->starts_with(kContainerSecrets);
  } else if ((path = credential_path(env, name))) {
    trusted_place = true;
  }
  if (!path) return std::optional<std::string>();
  auto value = read_secret(name, *path, trusted_place, warnings);
  if (!value) return fail(value.error());
  const auto trimmed = text::trim(*value);
  if (trimmed.empty()) return fail(Code::Rejected, *path + " is empty");
  return std::optional<std::string>(trimmed);
}

bool has_secret(const Environment& env, std::string_view name) {
  return value_of(env, name) != nullptr || value_of(env, std::string(name) + "_FILE") != nullptr ||
         credential_path(env, name).has_value();
}

}  // namespace katana::config
