#include <string>

#include "common/control/wire.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {

/// One line of the control socket, as a request and as an answer.
void run(std::string_view input) {
  if (const auto request = control::read_request(input)) {
    std::string line = control::write_request(*request);
    require(!line.empty() && line.back() == '\n', "a request is one line");
    line.pop_back();
    const auto again = control::read_request(line);
    require(again && again->verb == request->verb && again->words == request->words,
            "a request comes back as it went");
  } else {
    require(!request.error().detail.empty(), "the error says why");
  }
  if (const auto answer = control::read_answer(input)) {
    std::string line = control::write_answer(*answer);
    line.pop_back();
    const auto again = control::read_answer(line);
    require(again && again->status == answer->status && again->text == answer->text,
            "an answer comes back as it went");
  } else {
    require(!answer.error().detail.empty(), "the error says why");
  }
}

}  // namespace katana::fuzz
