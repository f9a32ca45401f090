#pragma once

#include <string_view>

namespace sandbox {

/// The chat page for people, page.html as it was when this was built.
extern const std::string_view kPage;

}  // namespace sandbox
