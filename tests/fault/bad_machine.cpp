// A machine that fails, for a whole process: preloaded (LD_PRELOAD), it lets writes fail and the wall clock
// jump. BAD_MACHINE names a directory of orders, which are looked at each time, so that a test can change its
// mind while the process runs. `disk` holds an errno (28: no space left, 5: I/O error, 30: read-only file
// system): while it does, nothing can be written below the directory BAD_DISK. `clock` holds the seconds by
// which the wall clock is wrong. Monotonic time is left alone.
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

/// The number in the order of this name; 0 without one. By system calls: the functions of libc are ours here.
long order(const char* name) {
  const char* directory = std::getenv("BAD_MACHINE");
  if (directory == nullptr) return 0;
  char path[PATH_MAX];
  char text[32] = {};
  std::snprintf(path, sizeof path, "%s/%s", directory, name);
  const int before = errno;
  const long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (syscall(SYS_read, fd, text, sizeof text - 1) < 0) text[0] = 0;
    syscall(SYS_close, fd);
  }
  errno = before;
  return std::atol(text);
}

/// Sets errno and says so when this file can't be written now.
bool fails_at(std::string_view path) {
  const char* disk = std::getenv("BAD_DISK");
  const std::size_t length = disk == nullptr ? 0 : std::strlen(disk);
  if (length == 0 || !path.starts_with(disk) || path.size() <= length || path[length] != '/') return false;
  const long number = order("disk");
  if (number != 0) errno = static_cast<int>(number);
  return number != 0;
}

bool fails(int fd) {
  char link[64];
  char path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path);
  return length > 0 && fails_at({path, static_cast<std::size_t>(length)});
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  return fails(fd) ? -1 : syscall(SYS_write, fd, data, size);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return fails(fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, at);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}
int ftruncate64(int fd, off64_t size) noexcept {
  return fails(fd) ? -1 : static_cast<int>(syscall(SYS_ftruncate, fd, size));
}
int ftruncate(int fd, off_t size) noexcept {
  return ftruncate64(fd, size);
}
int fsync(int fd) {
  return fails(fd) ? -1 : static_cast<int>(syscall(SYS_fsync, fd));
}
int fdatasync(int fd) {
  return fails(fd) ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}
int rename(const char* from, const char* to) noexcept {
  return fails_at(to) ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}

int clock_gettime(clockid_t clock, struct timespec* now) noexcept {
  const int answer = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (clock == CLOCK_REALTIME && answer == 0) now->tv_sec += order("clock");
  return answer;
}
int gettimeofday(struct timeval* now, void* /*zone*/) noexcept {
  timespec fine{};
  clock_gettime(CLOCK_REALTIME, &fine);
  now->tv_sec = fine.tv_sec;
  now->tv_usec = fine.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* where) noexcept {
  timespec fine{};
  clock_gettime(CLOCK_REALTIME, &fine);
  if (where != nullptr) *where = fine.tv_sec;
  return fine.tv_sec;
}

}  // extern "C"
