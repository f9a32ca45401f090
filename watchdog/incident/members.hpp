#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <simdjson.h>

namespace katana::watchdog {

/// Reads members of one JSON object and remembers which one was missing or of the wrong type. Private to this
/// room's readers.
class Members {
 public:
  explicit Members(simdjson::dom::element object) : object_(object) {}
  std::string word(const char* name) { return std::string(take<std::string_view>(name)); }
  std::int64_t number(const char* name) { return take<std::int64_t>(name); }
  bool flag(const char* name) { return take<bool>(name); }
  simdjson::dom::element element(const char* name) { return take<simdjson::dom::element>(name); }
  simdjson::dom::array array(const char* name) { return take<simdjson::dom::array>(name); }
  /// Members that an earlier version didn't write.
  std::string word_or(const char* name, std::string_view otherwise) const {
    return std::string(take_or<std::string_view>(name, otherwise));
  }
  std::int64_t number_or(const char* name, std::int64_t otherwise) const {
    return take_or<std::int64_t>(name, otherwise);
  }
  bool flag_or(const char* name, bool otherwise) const { return take_or<bool>(name, otherwise); }
  template <class Each>
  void each(const char* name, Each&& do_it) const {
    simdjson::dom::array array;
    if (object_[name].get(array)) return;
    for (const auto element : array)
      do_it(element);
  }
  [[nodiscard]] const char* bad() const { return bad_; }

 private:
  template <class T>
  T take(const char* name) {
    T value{};
    if (object_[name].get(value)) bad_ = name;
    return value;
  }
  template <class T>
  T take_or(const char* name, T otherwise) const {
    T value{};
    return object_[name].get(value) ? otherwise : value;
  }
  simdjson::dom::element object_;
  const char* bad_ = nullptr;
};

}  // namespace katana::watchdog
