#include "watchdog/supervisor/link.hpp"

#include <cerrno>
#include <vector>

#include <sys/socket.h>

#include "common/log/log.hpp"

namespace katana::watchdog {

ParentLink::ParentLink(loop::Loop& loop, int fd, Events events)
    : fd_(fd),
      to_parent_(loop, fd),
      events_(std::move(events)),
      watch_(loop.watch(fd, loop::Io::Read, [this](loop::Ready) { read(); })) {}

void ParentLink::read() {
  char buffer[4096];
  const ssize_t n = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    watch_.reset();
    return events_.on_gone();
  }
  std::vector<FromParent> messages;
  const auto fed = lines_.feed({buffer, static_cast<std::size_t>(n)}, [&](std::string_view line) {
    if (auto message = parse_from_parent(line))
      messages.push_back(std::move(*message));
    else
      log::Room{"supervisor"}.error("from the parent: {}", message.error().detail);
  });
  if (!fed) log::Room{"supervisor"}.error("from the parent: {}", fed.error().detail);
  for (auto& message : messages)
    events_.on_message(std::move(message));
}

void ParentLink::send(const FromWatchdog& message) {
  const std::string line = to_line(message);
  if (!to_parent_.write(line))
    log::Room{"supervisor"}.error("the parent can't be told: {}", line.substr(0, line.size() - 1));
}

}  // namespace katana::watchdog
