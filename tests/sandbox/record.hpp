#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "http.hpp"

namespace sandbox {

/// What is remembered of one request.
struct Entry {
  std::uint64_t number = 0;
  Nanos at = 0;
  Nanos answered = 0;
  std::string method;
  std::string path;     ///< a bot's token in it is masked
  std::string headers;  ///< one a line; keys and tokens as the start of their SHA-256
  std::string body;
  std::size_t body_bytes = 0;
  int status = 0;
  int retry_after = 0;  ///< seconds that a 429 asked for
  std::size_t reply_bytes = 0;
  std::string outcome;  ///< waiting, answered, streamed, gone (the client left), cut (by a fault)
  std::string call;     ///< Bot API method, or messages, responses, chat …
  std::int64_t chat = 0;
  std::int64_t bot = 0;
  bool authorized = false;
  std::string unknown_fields;  ///< comma-separated
};

/// Every request of the products under test, in a ring bounded by count and by bytes. Can be turned off.
class Record {
 public:
  Record(std::size_t max_entries, std::size_t max_bytes) : max_entries_(max_entries), max_bytes_(max_bytes) {}

  void turn(bool on) { on_ = on; }
  bool on() const { return on_; }
  /// 0 when off.
  std::uint64_t begin(const Request& request);
  /// The entry to add to, or nullptr when it was dropped or never kept.
  Entry* find(std::uint64_t number);
  void clear();

  std::uint64_t last() const { return next_ - 1; }
  std::uint64_t first() const { return entries_.empty() ? next_ : entries_.front().number; }
  const std::deque<Entry>& entries() const { return entries_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t max_entries_;
  std::size_t max_bytes_;
  bool on_ = true;
  std::uint64_t next_ = 1;
  std::size_t bytes_ = 0;
  std::deque<Entry> entries_;
};

/// The first 16 hex digits of the SHA-256, by which a test can check a secret that isn't shown.
std::string fingerprint(std::string_view secret);

}  // namespace sandbox
