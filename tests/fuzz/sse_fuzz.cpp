#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/target.hpp"
#include "workers/sse.hpp"

namespace katana::fuzz {
namespace {

struct Read {
  std::vector<std::pair<std::string, std::string>> events;
  bool failed = false;
};

Read read(std::string_view input, std::size_t slice) {
  Read out;
  workers::SseParser parser;
  workers::SseEvent event;
  const auto take = [&] {
    while (!out.failed) {
      const auto more = parser.next(event);
      out.failed = !more;
      if (out.failed) require(!more.error().detail.empty(), "the error says why");
      if (out.failed || !*more) return;
      out.events.emplace_back(event.name, event.data);
    }
  };
  for (; !input.empty(); input.remove_prefix(std::min(slice, input.size()))) {
    parser.push(input.substr(0, slice));
    take();
  }
  parser.finish();
  take();
  return out;
}

}  // namespace

/// A stream of events, in one piece and in small ones. The first byte says how small.
void run(std::string_view input) {
  if (input.empty()) return;
  const std::size_t slice = 1 + static_cast<unsigned char>(input.front()) % 64;
  input.remove_prefix(1);
  const Read whole = read(input, input.size() + 1);
  const Read sliced = read(input, slice);
  require(whole.events == sliced.events, "slicing doesn't change the events");
  require(whole.failed == sliced.failed, "slicing doesn't change the end");
}

}  // namespace katana::fuzz
