#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/settings.hpp"

namespace katana::config {

/// One setting's name: whether it is a secret (then `NAME_FILE` and $CREDENTIALS_DIRECTORY/NAME work too),
/// and which programs may see it.
struct Name {
  std::string_view name;
  bool secret = false;
  unsigned readers = 0;  ///< bits of `reader(Program)`
  bool inert = false;    ///< checked, but nothing obeys it yet: whoever sets it is told
};

constexpr unsigned reader(Program program) {
  return 1U << static_cast<unsigned>(program);
}

/// Every setting there is.
const std::vector<Name>& all_names();
const Name* find_name(std::string_view name);
bool sees(Program program, std::string_view name);

/// A name in the environment that is no setting but was probably meant as one: the line to warn with.
std::optional<std::string> stray_name(std::string_view name);

}  // namespace katana::config
