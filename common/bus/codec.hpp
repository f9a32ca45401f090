#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"

namespace katana::bus {

// Limits beside kMaxFrame and kBlobPart. A frame beyond one of them is Malformed.
inline constexpr std::size_t kMaxHeartbeat = 1 << 20;  ///< bytes of a heartbeat's frame
inline constexpr std::size_t kMaxName = 64;    ///< bytes of a job, worker, gateway or process id, a provider
inline constexpr std::size_t kMaxLabel = 256;  ///< bytes of a model, build, type, host, request id
inline constexpr std::size_t kMaxDetail = 4096;  ///< bytes of an error's detail, an attachment's name
inline constexpr std::size_t kMaxRefs = 16384;   ///< jobs in one list
inline constexpr std::size_t kMaxModels = 256;
inline constexpr std::size_t kMaxTurns = 4096;
inline constexpr std::size_t kMaxAttachments = 64;  ///< of one turn

/// Turns messages into the frames of proto/katana/v1 and back: the only place that knows protobuf. Each
/// socket owns one, so that its memory is used again from frame to frame. One thread at a time.
///
/// What comes in is checked whole before anything is returned. What goes out is held to the same rules, so
/// that no peer gets a frame that it must refuse: text that isn't UTF-8 is mended, a description that is too
/// long is cut, and a broken id is our own fault (Internal).
class Codec {
 public:
  Codec();
  ~Codec();
  Codec(Codec&&) noexcept;
  Codec& operator=(Codec&&) noexcept;

  /// First half of encoding: the size of the frame. Rejected when that is over the limit.
  Result<std::size_t> stage(const Message& message);
  Result<std::size_t> stage(const Heartbeat& beat);
  /// Second half: writes what was staged last, exactly that many bytes.
  void write(void* out);

  /// Any bytes. Malformed says which field is wrong.
  Result<Message> decode(std::string_view frame);
  Result<Heartbeat> decode_heartbeat(std::string_view frame);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace katana::bus
