#include <string>

#include "common/bus/codec.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {
namespace {

template <class T>
std::string encode(bus::Codec& codec, const T& message) {
  const auto size = codec.stage(message);
  require(size.has_value(), "what was decoded can be encoded");
  std::string frame(*size, '\0');
  codec.write(frame.data());
  return frame;
}

template <class T>
void check_error(const Result<T>& result) {
  require(result.error().code == Code::Malformed, "bad bytes are Malformed");
  require(!result.error().detail.empty(), "the error says why");
}

}  // namespace

/// Frames of the job protocol, and the same bytes as a heartbeat.
void run(std::string_view input) {
  static bus::Codec codec;
  if (const auto message = codec.decode(input)) {
    const std::string frame = encode(codec, *message);
    const auto again = codec.decode(frame);
    require(again.has_value(), "what was encoded can be decoded");
    require(again->index() == message->index(), "a message stays what it is");
    require(encode(codec, *again) == frame, "a message comes back as it went");
  } else {
    check_error(message);
  }
  if (const auto beat = codec.decode_heartbeat(input)) {
    const std::string frame = encode(codec, *beat);
    const auto again = codec.decode_heartbeat(frame);
    require(again.has_value() && encode(codec, *again) == frame, "a heartbeat comes back as it went");
  } else {
    check_error(beat);
  }
}

}  // namespace katana::fuzz
