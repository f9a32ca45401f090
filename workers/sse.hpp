#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/core/result.hpp"

namespace katana::workers {

/// One server-sent event. The views hold until the parser is touched again. At least `kSsePadding` bytes
/// behind the end of `data` may be read (never used): what a vectorised JSON reader asks for.
struct SseEvent {
  std::string_view name;  ///< the `event:` field; empty when there was none
  std::string_view data;  ///< the `data:` lines, joined by a line feed
};

inline constexpr std::size_t kSsePadding = 64;
inline constexpr std::size_t kMaxSseLine = 1 << 20;
inline constexpr std::size_t kMaxSseEvent = 4 << 20;

/// Reads a stream of server-sent events, fed in any slices: push what arrived, then take events until there
/// is none. Lines may end in LF, CR or CRLF. Owned by one call; reusable after `reset`, which keeps its
/// memory. Loop thread only.
///
/// An event's data is a view into the parser's own buffer, where it was copied once; only data of several
/// lines is put together elsewhere.
class SseParser {
 public:
  SseParser() = default;

  void push(std::string_view bytes);
  /// No more bytes will come: a last line without an end counts, and so does a last event without its empty
  /// line.
  void finish() { finished_ = true; }
  /// True: `event` is the next one. False: more bytes are needed. Malformed names line and byte, and is
  /// final.
  Result<bool> next(SseEvent& event);
  void reset();

  /// Bytes held at the moment, for whoever bounds memory.
  [[nodiscard]] std::size_t capacity() const { return capacity_ + joined_.capacity(); }

 private:
  bool take_line(std::string_view& line);
  void forget_event();
  void field(std::string_view line);
  void add_data(std::string_view value);
  [[nodiscard]] std::size_t event_size() const;
  Error too_long(std::uint64_t line, std::string_view what, std::size_t limit) const;

  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;    ///< usable bytes; the padding lies behind them
  std::size_t end_ = 0;         ///< bytes filled
  std::size_t line_start_ = 0;  ///< of the line that is being read
  std::size_t scanned_ = 0;     ///< up to here no line end was found

  std::size_t data_at_ = 0;  ///< first data line of the event, while it is the only one
  std::size_t data_size_ = 0;
  std::size_t data_lines_ = 0;
  std::string joined_;  ///< data of two lines and more
  std::string name_;

  std::uint64_t line_number_ = 0;  ///< of the line read last, from 1
  std::uint64_t dropped_ = 0;      ///< bytes of the stream that lie before the buffer
  bool skip_lf_ = false;           ///< the last line ended in CR: a following LF belongs to it
  bool finished_ = false;
  bool delivered_ = false;  ///< the event that is held was handed out: forget it at the next touch
};

}  // namespace katana::workers
