#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "workers/provider.hpp"

namespace katana::workers {

/// What a provider's decoder made of a stream.
struct Decoded {
  Answer answer;
  std::optional<Failure> failure;
  bool done = false;
  int pings = 0;
};

inline Decoded decode(Provider& provider, std::string_view stream, std::size_t slice = 1 << 30) {
  Decoded out;
  SseParser parser;
  const auto decoder = provider.decoder();
  SseEvent event;
  const auto take = [&] {
    while (!out.done && !out.failure) {
      const auto more = parser.next(event);
      if (!more) {
        out.failure = Failure{.error = more.error()};
        return;
      }
      if (!*more) return;
      const auto step = decoder->read(event, out.answer);
      if (!step)
        out.failure = step.error();
      else if (*step == Step::Done)
        out.done = true;
      else if (*step == Step::Ping)
        ++out.pings;
    }
  };
  while (!stream.empty()) {
    parser.push(stream.substr(0, slice));
    stream.remove_prefix(std::min(slice, stream.size()));
    take();
  }
  parser.finish();
  take();
  return out;
}

/// Cuts the stream at every byte and changes single bytes: nothing but an answer, a failure or "more" may
/// come out.
inline void expect_robust(Provider& provider, const std::string& stream, const std::string& text) {
  for (std::size_t slice : {1, 2, 5, 64}) {
    const Decoded got = decode(provider, stream, slice);
    EXPECT_TRUE(got.done) << "slices of " << slice;
    EXPECT_EQ(got.answer.text, text);
  }
  for (std::size_t cut = 0; cut < stream.size(); ++cut) {
    const Decoded got = decode(provider, std::string_view(stream).substr(0, cut), 16);
    EXPECT_EQ(text.substr(0, got.answer.text.size()), got.answer.text) << "cut at " << cut;
    EXPECT_TRUE(!got.failure || got.failure->error.code == Code::Malformed) << "cut at " << cut;
  }
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    std::string mutated = stream;
    for (int i = 0; i < 3; ++i)
      mutated[random() % mutated.size()] = static_cast<char>(random());
    const Decoded got = decode(provider, mutated, 1 + random() % 100);
    EXPECT_LE(got.answer.text.size(), 3 * mutated.size());
  }
}

}  // namespace katana::workers
