#include "workers/http_rules.hpp"
#include "workers/openai/stream.hpp"

namespace katana::openai {
namespace {

namespace json = workers::json;

int status_of(std::string_view name) {
  if (name == "rate_limit_exceeded" || name == "slow_down") return 429;
  if (name == "server_is_overloaded") return 503;
  if (name == "invalid_api_key" || name == "authentication_error") return 401;
  if (name == "permission_error") return 403;
  if (name == "model_not_found") return 404;
  if (name.substr(0, 8) == "invalid_" || name.find("context_length") != std::string_view::npos ||
      name.find("policy") != std::string_view::npos) {
    return 400;
  }
  return 500;
}

bool final_quota(std::string_view name) {
  return name == "insufficient_quota" || name.find("_spend_limit_") != std::string_view::npos;
}

}  // namespace

workers::Failure failure_of(const json::Object& error, int status) {
  // Some servers write the code as a number (and some the kind of error alone): then `type` names it.
  std::string_view code = json::string_or_empty(error["code"]);
  const std::string_view type = json::string_or_empty(error["type"]);
  if (code.empty()) code = type;
  std::string detail = workers::quote(code) + ": " + workers::quote(json::string_or_empty(error["message"]));
  if (final_quota(code) || final_quota(type)) return workers::used_up(std::move(detail));
  workers::Failure failure = workers::judge(status != 0 ? status : status_of(code));
  failure.error.detail = std::move(detail);
  return failure;
}

}  // namespace katana::openai
