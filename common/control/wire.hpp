#pragma once

#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

#include "common/control/control.hpp"

/// The control socket's lines: `{"verb":"allow","words":["K7M2XQ9T"]}` and `{"status":0,"text":"…"}`, each
/// ended by a line feed.
namespace katana::control {

inline constexpr std::size_t kMaxRequest = 64 << 10;
inline constexpr std::size_t kMaxAnswer = 1 << 20;

std::string write_request(const Request& request);
std::string write_answer(const Answer& answer);
/// `line` is without its line feed. The error says what is wrong with it.
Result<Request> read_request(std::string_view line);
Result<Answer> read_answer(std::string_view line);

/// The error names the path and its length where it is too long for a socket.
Result<sockaddr_un> socket_address(const std::string& path);

}  // namespace katana::control
