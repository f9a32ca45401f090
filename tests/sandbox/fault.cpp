#include "fault.hpp"

#include <algorithm>

namespace sandbox {

std::string Faults::add(Json spec) {
  Fault fault;
  fault.method = text_of(spec, "method");
  std::transform(fault.method.begin(), fault.method.end(), fault.method.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (fault.method == "*") fault.method.clear();
  fault.chat = number_of(spec, "chat");
  fault.skip = number_of(spec, "skip");
  fault.count = number_of(spec, "count", 1);
  fault.status = static_cast<int>(number_of(spec, "status", 500));
  fault.retry_after = static_cast<int>(number_of(spec, "retry_after", 1));
  fault.delay = static_cast<Nanos>(real_of(spec, "delay_ms") * kMilli);
  fault.took = flag_of(spec, "took");
  fault.description = text_of(spec, "description");
  Json parameters;
  if (member(spec, "parameters", parameters)) fault.parameters = simdjson::minify(parameters);
  fault.bot = text_of(spec, "bot");
  const std::string_view kind = text_of(spec, "kind", fault.delay > 0 ? "delay_ms" : "status");
  if (kind == "status") {
    fault.kind = Fault::Kind::Status;
  } else if (kind == "429") {
    fault.kind = Fault::Kind::TooMany;
  } else if (kind == "close_before") {
    fault.kind = Fault::Kind::CloseBefore;
  } else if (kind == "close_after") {
    fault.kind = Fault::Kind::CloseAfter;
  } else if (kind == "delay_ms") {
    fault.kind = Fault::Kind::Delay;
  } else if (kind == "hang") {
    fault.kind = Fault::Kind::Hang;
  } else if (kind == "malformed_json") {
    fault.kind = Fault::Kind::Malformed;
  } else if (kind == "bad_gateway_html") {
    fault.kind = Fault::Kind::BadGateway;
  } else {
    return "unknown kind of fault: " + std::string(kind);
  }
  faults_.push_back(std::move(fault));
  return {};
}

const Fault* Faults::take(std::string_view method, std::int64_t chat, std::int64_t bot) {
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (!fault->method.empty() && fault->method != method) continue;
    if (fault->chat != 0 && fault->chat != chat) continue;
    if (!fault->bot.empty() && fault->bot != std::to_string(bot)) continue;
    if (fault->skip > 0) {
      --fault->skip;
      continue;
    }
    taken_ = *fault;
    if (fault->count > 0 && --fault->count == 0) faults_.erase(fault);
    return &taken_;
  }
  return nullptr;
}

}  // namespace sandbox
