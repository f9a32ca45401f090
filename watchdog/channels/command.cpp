#include "watchdog/channels/command.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

#include "watchdog/liveness/roster.hpp"

namespace katana::watchdog {

CommandChannel::CommandChannel(loop::Loop& loop, const std::string& command) : loop_(loop) {
  std::istringstream words(command);
  for (std::string word; words >> word;)
    argv_.push_back(word);
}

void CommandChannel::probe(std::function<void(Result<void>)> then) {
  if (access(argv_.front().c_str(), X_OK) == 0) return then({});
  then(fail(Code::Internal, "the alert command can't be executed: " + std::string(std::strerror(errno))));
}

void CommandChannel::send(const Notice& notice, const std::string&,
                          std::function<void(Result<Receipt>)> then) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0)
    return then(fail(Code::Internal, std::string("no pipe: ") + std::strerror(errno)));
  // A notice is a few KiB, and an empty pipe holds 64: this never blocks.
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  const std::string json = to_json(notice) + "\n";
  const bool whole = write(ends[1], json.data(), json.size()) == static_cast<ssize_t>(json.size());
  close(ends[1]);
  loop::ChildSpec spec;
  spec.argv = argv_;
  for (const char* name : {"PATH", "HOME", "LANG"})
    if (const char* value = std::getenv(name)) spec.env.push_back(std::string(name) + "=" + value);
  spec.stdin_fd = ends[0];
  auto shared = std::make_shared<std::function<void(Result<Receipt>)>>(std::move(then));
  auto child =
      whole ? loop_.spawn(spec,
                          [this, shared](loop::Exit exit) {
                            limit_.reset();
                            if (exit.status == 0 && exit.signal == 0)
                              return (*shared)(Receipt{"exit status 0", {}});
                            (*shared)(fail(Code::Overloaded, "the alert command ended with " +
                                                                 describe(Ending{exit.status, exit.signal})));
                          })
            : Result<loop::Child>(fail(Code::Internal, "the notice doesn't fit into a pipe"));
  close(ends[0]);
  if (!child) return (*shared)(fail(std::move(child.error())));
  child_ = std::move(*child);
  limit_ = loop_.after(kLimit, [this] {
    if (child_.pid() > 0) kill(-child_.pid(), SIGKILL);  // its group: it may be a script with children
  });
}

}  // namespace katana::watchdog
