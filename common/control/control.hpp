#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/core/result.hpp"
#include "common/loop/loop.hpp"

namespace katana::control {

/// A request of the operator's command: a verb and its words (`allow`, {"K7M2XQ9T"}).
struct Request {
  std::string verb;
  std::vector<std::string> words;
};

/// What it prints: text for people (and JSON where the verb offers it), and the exit status.
struct Answer {
  int status = 0;
  std::string text;
};

/// The Unix socket (mode 0660) in the run directory that a process listens on: `gateway.sock`,
/// `watchdog.sock`. Peers are checked by SO_PEERCRED: root, our own user, or a member of the socket's group.
/// One line of JSON each way: a request of 64 KiB at most, within 10 s; an answer of 1 MiB at most. At most
/// 32 connections. Loop thread only. A handler answers now or later through `reply` (once; a reply after the
/// asker or the server has gone does nothing).
class ControlServer {
 public:
  using Reply = std::function<void(Answer)>;
  using Handler = std::function<void(const Request&, Reply)>;
  static Result<std::unique_ptr<ControlServer>> listen(loop::Loop& loop, const std::string& path,
                                                       Handler handler);
  ~ControlServer();

 private:
  struct Impl;
  explicit ControlServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  ///< replies hold it weakly
};

/// Asks and waits (blocking: for the command-line program alone). Without the socket the error says which
/// command would start the process.
Result<Answer> ask(const std::string& socket_path, const Request& request, Millis timeout);

}  // namespace katana::control
