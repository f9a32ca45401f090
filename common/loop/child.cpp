#include <cstdlib>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/loop/uv_state.hpp"

namespace katana::loop {

namespace detail {

using ProcessSource = Source<uv_process_t, Exit>;

namespace {

/// What a Child points to. The process's own source lives until the process has ended, because libuv must
/// reap it; this goes with the Child, and takes the report with it.
struct ChildState final : HandleState {
  explicit ChildState(std::shared_ptr<ProcessSource> p) : process(std::move(p)) {}
  ~ChildState() override { process->callback.drop(); }
  void close() override { process->callback.drop(); }
  std::shared_ptr<ProcessSource> process;
};

/// Marks every descriptor from 3 on as close-on-exec. Libraries open most of theirs so; this makes it all of
/// them.
void keep_descriptors_to_ourselves() {
  constexpr unsigned kCloexec = 1U << 2;  // CLOSE_RANGE_CLOEXEC, from Linux 5.11
  if (close_range(3, ~0U, static_cast<int>(kCloexec)) == 0) return;
  DIR* open_fds = opendir("/proc/self/fd");
  if (open_fds == nullptr) return;
  while (const dirent* entry = readdir(open_fds)) {
    const int fd = std::atoi(entry->d_name);
    if (fd >= 3) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  closedir(open_fds);
}

uv_stdio_container_t stdio(int fd, int fallback) {
  uv_stdio_container_t out{};
  const int use = fd >= 0 ? fd : fallback;
  out.flags = use >= 0 ? UV_INHERIT_FD : UV_IGNORE;  // ignored: /dev/null
  if (use >= 0) out.data.fd = use;
  return out;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings)
    out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

void report_exit(uv_process_t* h, std::int64_t status, int signal) {
  auto& process = ProcessSource::of(h);
  const auto keep = process.self;
  process.loop.woke();
  h->pid = 0;
  process.callback.call(Exit{static_cast<int>(status), signal});
  process.close();
}

}  // namespace
}  // namespace detail

pid_t Child::pid() const {
  return state_ == nullptr ? 0 : static_cast<const detail::ChildState&>(*state_).process->uv.pid;
}

void Child::signal(int signo) const {
  if (pid() > 0) uv_process_kill(&static_cast<const detail::ChildState&>(*state_).process->uv, signo);
}

Result<Child> Loop::spawn(const ChildSpec& spec, std::function<void(Exit)> on_exit) {
  if (spec.argv.empty()) return fail(Code::Internal, "starting a program: no name given");
  auto source = std::make_shared<detail::ProcessSource>(*state_, std::move(on_exit));
  auto argv = detail::pointers(spec.argv);
  auto env = detail::pointers(spec.env);
  uv_stdio_container_t files[] = {detail::stdio(spec.stdin_fd, -1), detail::stdio(spec.stdout_fd, 1),
                                  detail::stdio(spec.stderr_fd, 2)};
  uv_process_options_t options{};
  options.exit_cb = detail::report_exit;
  options.file = argv[0];
  options.args = argv.data();
  options.env = env.data();
  options.flags = UV_PROCESS_DETACHED;  // a session and group of its own; libuv also empties the signal mask
  options.stdio_count = 3;
  options.stdio = files;

  detail::keep_descriptors_to_ourselves();
  source->opened();
  const int status = uv_spawn(&state_->uv, &source->uv, &options);
  if (status < 0) {
    source->close();
    return fail(Code::Internal, "starting " + spec.argv[0] + ": " + uv_strerror(status));
  }
  return Child(std::make_shared<detail::ChildState>(std::move(source)));
}

}  // namespace katana::loop
