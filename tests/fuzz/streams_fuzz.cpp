#include <algorithm>
#include <memory>

#include "common/core/text.hpp"
#include "tests/fuzz/target.hpp"
#include "workers/claude/claude.hpp"
#include "workers/openai/openai.hpp"

namespace katana::fuzz {
namespace {

struct Outcome {
  workers::Answer answer;
  bool done = false;
  bool failed = false;
};

Outcome decode(workers::Decoder& decoder, std::string_view input, std::size_t slice) {
  Outcome out;
  workers::SseParser parser;
  workers::SseEvent event;
  const auto take = [&] {
    while (!out.done && !out.failed) {
      const auto more = parser.next(event);
      out.failed = !more;
      if (out.failed || !*more) return;
      const auto step = decoder.read(event, out.answer);
      out.failed = !step;
      if (out.failed) require(!step.error().error.detail.empty(), "the failure says why");
      out.done = step && *step == workers::Step::Done;
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

/// A provider's stream, read as each of the three protocols. The first byte says in what slices.
void run(std::string_view input) {
  if (input.empty()) return;
  static const std::unique_ptr<workers::Provider> providers[] = {
      claude::make_provider({}), openai::make_provider({.api = config::OpenAiApi::Responses}),
      openai::make_provider({.api = config::OpenAiApi::Chat})};
  const std::size_t slice = 1 + static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  for (const auto& provider : providers) {
    const Outcome whole = decode(*provider->decoder(), input, input.size() + 1);
    const Outcome sliced = decode(*provider->decoder(), input, slice);
    require(text::is_valid_utf8(whole.answer.text), "answer text is valid UTF-8");
    require(whole.answer.text == sliced.answer.text, "slicing doesn't change the answer");
    require(whole.answer.usage == sliced.answer.usage, "slicing doesn't change the usage");
    require(whole.done == sliced.done && whole.failed == sliced.failed, "slicing doesn't change the end");
  }
}

}  // namespace katana::fuzz
