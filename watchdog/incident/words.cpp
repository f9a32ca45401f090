#include "watchdog/incident/words.hpp"

#include "common/core/text.hpp"

namespace katana::watchdog {

std::string line_of(std::string_view foreign) {
  return text::shorten(text::trim(text::one_line(text::sanitize(foreign))), kForeignLine);
}

std::string process_key(const std::string& instance) {
  return "process:" + instance;
}

}  // namespace katana::watchdog
