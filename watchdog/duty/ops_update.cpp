#include "watchdog/duty/ops_update.hpp"

#include <simdjson.h>

namespace katana::watchdog {
namespace {

using simdjson::dom::element;

std::int64_t number(const element& from, std::string_view pointer) {
  std::int64_t value = 0;
  return from.at_pointer(pointer).get(value) ? 0 : value;
}

std::string word(const element& from, std::string_view pointer) {
  std::string_view value;
  return from.at_pointer(pointer).get(value) ? std::string() : std::string(value);
}

OpsUpdate read(const element& update) {
  OpsUpdate out;
  out.update_id = number(update, "/update_id");
  element what;
  if (!update["callback_query"].get(what)) {
    out.user = number(what, "/from/id");
    out.chat = number(what, "/message/chat/id");
    out.message = number(what, "/message/message_id");
    out.callback = word(what, "/id");
    out.words = word(what, "/data");
  } else if (!update["message"].get(what)) {
    out.user = number(what, "/from/id");
    out.chat = number(what, "/chat/id");
    out.message = number(what, "/message_id");
    out.words = word(what, "/text");
    out.at = from_unix(number(what, "/date"));
  }
  return out;
}

}  // namespace

Result<std::vector<OpsUpdate>> parse_ops_updates(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::array updates;
  if (parser.parse(simdjson::padded_string(json))["result"].get(updates))
    return fail(Code::Malformed, "the answer to getUpdates isn't understood");
  std::vector<OpsUpdate> out;
  for (const auto update : updates)
    out.push_back(read(update));
  return out;
}

}  // namespace katana::watchdog
