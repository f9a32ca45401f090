#include "common/net/http.hpp"

namespace katana::net {

std::string_view HttpHead::find(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

HttpCall& HttpCall::operator=(HttpCall&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

HttpCall::~HttpCall() {
  cancel();
}

void HttpCall::cancel() {
  if (const auto state = std::move(state_)) state->cancel();
}

}  // namespace katana::net
