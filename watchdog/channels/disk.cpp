#include "watchdog/channels/disk.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace katana::watchdog {
namespace {

tl::unexpected<Error> errno_error(const char* doing, const std::string& path) {
  return fail(Code::Internal, std::string(doing) + " " + path + ": " + std::strerror(errno));
}

/// A descriptor that closes itself.
struct File {
  int fd = -1;
  explicit File(int f) : fd(f) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

Result<void> sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const File dir(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.fd < 0 || fsync(dir.fd) != 0) return errno_error("syncing", directory);
  return {};
}

}  // namespace

Result<void> write_durably(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".tmp";
  {
    const File file(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (file.fd < 0) return errno_error("creating", beside);
    while (!bytes.empty()) {
      const ssize_t n = write(file.fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error("writing", beside);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    if (fsync(file.fd) != 0) return errno_error("syncing", beside);
  }
  if (rename(beside.c_str(), path.c_str()) != 0) return errno_error("renaming", beside);
  return sync_directory_of(path);
}

Result<void> remove_durably(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("removing", path);
  return sync_directory_of(path);
}

Result<std::string> read_whole(const std::string& path, std::size_t limit) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return errno_error("opening", path);
  std::string out;
  char buffer[8192];
  for (;;) {
    const ssize_t n = read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("reading", path);
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > limit)
      return fail(Code::Malformed, path + ": larger than " + std::to_string(limit) + " bytes");
  }
}

Disk::Disk(loop::Loop& loop) : loop_(loop), thread_([this] { serve(); }) {}

Disk::~Disk() {
  {
    const std::lock_guard guard(lock_);
    ending_ = true;
  }
  more_.notify_one();
  thread_.join();
}

void Disk::run(Work work, std::function<void(Result<void>)> then) {
  {
    const std::lock_guard guard(lock_);
    items_.push_back({std::move(work), std::move(then)});
  }
  more_.notify_one();
}

void Disk::serve() {
  const std::weak_ptr<bool> here = here_;
  for (;;) {
    Item item;
    {
      std::unique_lock guard(lock_);
      more_.wait(guard, [this] { return ending_ || !items_.empty(); });
      if (items_.empty()) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    auto result = item.work();
    if (item.then)
      loop_.post([here, then = std::move(item.then), result = std::move(result)] {
        if (!here.expired()) then(result);
      });
  }
}

}  // namespace katana::watchdog
