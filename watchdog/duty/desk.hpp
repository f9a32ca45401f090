#pragma once

#include <functional>
#include <string>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "watchdog/incident/book.hpp"

namespace katana::watchdog {

/// What people on duty can do, wherever they do it: in the ops chat, on the page, at the command line. Each
/// answers with a line for them, or with what stood in the way. `by` is for the log and holds no name: `the
/// status page`, `Telegram user 123`. Owned by the watchdog; loop thread only.
class Desk {
 public:
  struct Hands {
    std::function<Now()> now;
    /// Restarts a process of that instance, or says what to type instead.
    std::function<Result<std::string>(const std::string& instance)> restart;
    std::function<void()> changed;  ///< the book has: keep it, and show it
  };
  Desk(Book& book, Hands hands) : book_(book), hands_(std::move(hands)) {}

  Result<std::string> acknowledge(const std::string& incident, const std::string& by);
  /// All that is open and not acknowledged.
  Result<std::string> acknowledge_all(const std::string& by);
  Result<std::string> silence(const std::string& what, Seconds length, const std::string& by);
  /// `id` of a silence, or what it is about.
  Result<std::string> unsilence(const std::string& id, const std::string& by);
  Result<std::string> restart(const std::string& instance, const std::string& by);

  [[nodiscard]] const Book& book() const { return book_; }

 private:
  Result<std::string> did(Result<std::string> outcome, const std::string& by);

  Book& book_;
  Hands hands_;
};

/// `90`, `45s`, `30m`, `2h`, `7d`: a length of time as people type it; a bare number is minutes.
Result<Seconds> parse_span(std::string_view text);

}  // namespace katana::watchdog
