#include "common/control/wire.hpp"

#include <cstring>

#include <nlohmann/json.hpp>

namespace katana::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxWords = 64;
constexpr std::size_t kMaxVerb = 64;

/// Bytes that are no UTF-8 are replaced: an answer may quote what came from outside.
std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Json> read_object(std::string_view line, const char* what) {
  Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(Code::Malformed, std::string(what) + " is not JSON");
  if (!json.is_object()) return fail(Code::Malformed, std::string(what) + " is not a JSON object");
  return json;
}

}  // namespace

std::string write_request(const Request& request) {
  return one_line(Json{{"verb", request.verb}, {"words", request.words}});
}

std::string write_answer(const Answer& answer) {
  return one_line(Json{{"status", answer.status}, {"text", answer.text}});
}

Result<Request> read_request(std::string_view line) {
  auto json = read_object(line, "the request");
  if (!json) return fail(json.error());
  Request out;
  const auto verb = json->find("verb");
  if (verb == json->end() || !verb->is_string()) return fail(Code::Malformed, "the request has no verb");
  out.verb = verb->get<std::string>();
  if (out.verb.empty() || out.verb.size() > kMaxVerb)
    return fail(Code::Malformed, "the verb has no or too many letters");
  const auto words = json->find("words");
  if (words == json->end()) return out;
  if (!words->is_array() || words->size() > kMaxWords) {
    return fail(Code::Malformed, "the words are not a list of 64 at most");
  }
  for (const auto& word : *words) {
    if (!word.is_string()) return fail(Code::Malformed, "a word is not a text");
    out.words.push_back(word.get<std::string>());
  }
  return out;
}

Result<Answer> read_answer(std::string_view line) {
  auto json = read_object(line, "the answer");
  if (!json) return fail(json.error());
  const auto status = json->find("status");
  const auto text = json->find("text");
  if (status == json->end() || !status->is_number_integer() || text == json->end() || !text->is_string()) {
    return fail(Code::Malformed, "the answer has no status and text");
  }
  const auto number = status->get<std::int64_t>();
  if (number < 0 || number > 255) return fail(Code::Malformed, "the answer's status is no exit status");
  return Answer{static_cast<int>(number), text->get<std::string>()};
}

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(out.sun_path)) {
    return fail(Code::Rejected, path + ": a socket's path may have 107 bytes, and this one has " +
                                    std::to_string(path.size()));
  }
  std::memcpy(out.sun_path, path.c_str(), path.size() + 1);
  return out;
}

}  // namespace katana::control
