#include "workers/sse.hpp"

#include <algorithm>
#include <cstring>

namespace katana::workers {
namespace {

constexpr std::size_t kFirstBuffer = 4 << 10;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

void SseParser::reset() {
  end_ = line_start_ = scanned_ = 0;
  data_at_ = data_size_ = data_lines_ = 0;
  joined_.clear();
  name_.clear();
  line_number_ = dropped_ = 0;
  skip_lf_ = finished_ = delivered_ = false;
}

void SseParser::forget_event() {
  delivered_ = false;
  data_lines_ = 0;
  joined_.clear();
  name_.clear();
}

void SseParser::push(std::string_view bytes) {
  if (delivered_) forget_event();
  const std::size_t keep = data_lines_ == 1 ? data_at_ : line_start_;
  if (keep > 0) {
    std::memmove(buffer_.get(), buffer_.get() + keep, end_ - keep);
    end_ -= keep;
    line_start_ -= keep;
    scanned_ -= keep;
    data_at_ -= std::min(data_at_, keep);
    dropped_ += keep;
  }
  if (capacity_ - end_ < bytes.size()) {
    const std::size_t capacity = std::max({kFirstBuffer, capacity_ * 2, end_ + bytes.size()});
    auto larger = std::make_unique<char[]>(capacity + kSsePadding);
    if (end_ > 0) std::memcpy(larger.get(), buffer_.get(), end_);
    buffer_ = std::move(larger);
    capacity_ = capacity;
  }
  if (!bytes.empty()) std::memcpy(buffer_.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

bool SseParser::take_line(std::string_view& line) {
  if (skip_lf_ && line_start_ < end_) {
    if (buffer_[line_start_] == '\n') ++line_start_;
    scanned_ = std::max(scanned_, line_start_);
    skip_lf_ = false;
  }
  const char* base = buffer_.get();
  const std::size_t left = end_ - scanned_;
  const void* lf = left > 0 ? std::memchr(base + scanned_, '\n', left) : nullptr;
  const std::size_t reach =
      lf != nullptr ? static_cast<std::size_t>(static_cast<const char*>(lf) - base) : end_;
  const void* cr = reach > scanned_ ? std::memchr(base + scanned_, '\r', reach - scanned_) : nullptr;
  if (lf == nullptr && cr == nullptr && !(finished_ && line_start_ < end_)) {
    scanned_ = end_;
    return false;
  }
  const std::size_t stop =
      cr != nullptr ? static_cast<std::size_t>(static_cast<const char*>(cr) - base) : reach;
  line = {base + line_start_, stop - line_start_};
  line_start_ = scanned_ = std::min(stop + 1, end_);
  skip_lf_ = cr != nullptr;
  if (++line_number_ == 1 && line.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    line.remove_prefix(kByteOrderMark.size());
  }
  return true;
}

void SseParser::add_data(std::string_view value) {
  if (data_lines_ == 0) {
    data_at_ = static_cast<std::size_t>(value.data() - buffer_.get());
    data_size_ = value.size();
  } else {
    if (data_lines_ == 1) joined_.assign(buffer_.get() + data_at_, data_size_);
    joined_.reserve(joined_.size() + 1 + value.size() + kSsePadding);
    joined_ += '\n';
    joined_ += value;
  }
  ++data_lines_;
}

void SseParser::field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == 0) return;  // a comment
  const std::string_view key = line.substr(0, colon);
  // An absent value is an empty view *at the end of the line*: `add_data` takes its place from it.
  std::string_view value = line.substr(colon == std::string_view::npos ? line.size() : colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (key == "data") {
    add_data(value);
  } else if (key == "event") {
    name_ = value;
  }  // `id` and `retry` serve re-connection, which no provider offers here; other fields are to be skipped
}

/// Bytes that the unfinished event keeps in memory: comments between its lines count too.
std::size_t SseParser::event_size() const {
  if (data_lines_ == 0) return 0;
  return data_lines_ > 1 ? joined_.size() : line_start_ - data_at_;
}

Error SseParser::too_long(std::uint64_t line, std::string_view what, std::size_t limit) const {
  return {Code::Malformed, "event stream, line " + std::to_string(line) + " (near byte " +
                               std::to_string(dropped_ + line_start_) + "): " + std::string(what) +
                               " is longer than " + std::to_string(limit) + " bytes"};
}

Result<bool> SseParser::next(SseEvent& event) {
  if (delivered_) forget_event();
  std::string_view line;
  for (;;) {
    const bool line_ended = take_line(line);
    if (!line_ended && end_ - line_start_ > kMaxSseLine)
      return fail(too_long(line_number_ + 1, "it", kMaxSseLine));
    if (line_ended && line.size() > kMaxSseLine) return fail(too_long(line_number_, "it", kMaxSseLine));
    if (line_ended && !line.empty()) {
      field(line);
      if (event_size() > kMaxSseEvent)
        return fail(too_long(line_number_, "the event up to here", kMaxSseEvent));
      continue;
    }
    if (!line_ended && !(finished_ && data_lines_ > 0)) return false;
    if (data_lines_ == 0) {  // an event without data is none
      name_.clear();
      continue;
    }
    event.name = name_;
    event.data =
        data_lines_ > 1 ? std::string_view(joined_) : std::string_view(buffer_.get() + data_at_, data_size_);
    delivered_ = true;
    return true;
  }
}

}  // namespace katana::workers
