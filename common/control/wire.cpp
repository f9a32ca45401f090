#include "common/control/wire.hpp"

#include <cstring>

#include <nlohmann/json.hpp>
#include <simdjson.h>

namespace katana::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxWords = 64;
constexpr std::size_t kMaxVerb = 64;

/// Bytes that are no UTF-8 are replaced: an answer may quote what came from outside.
std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<simdjson::dom::object> read_object(simdjson::dom::parser& parser, std::string_view line,
                                          const char* what) {
  simdjson::dom::element root;
  // simdjson copies what it is given, and an empty line may have no address.
  if (line.empty() || parser.parse(line.data(), line.size()).get(root) != simdjson::SUCCESS)
    return fail(Code::Malformed, std::string(what) + " is not JSON");
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS)
    return fail(Code::Malformed, std::string(what) + " is not a JSON object");
  return object;
}

}  // namespace

std::string write_request(const Request& request) {
  return one_line(Json{{"verb", request.verb}, {"words", request.words}});
}

std::string write_answer(const Answer& answer) {
  return one_line(Json{{"status", answer.status}, {"text", answer.text}});
}

Result<Request> read_request(std::string_view line) {
  simdjson::dom::parser parser;
  const auto object = read_object(parser, line, "the request");
  if (!object) return fail(object.error());
  std::string_view verb;
  if ((*object)["verb"].get(verb) != simdjson::SUCCESS)
    return fail(Code::Malformed, "the request has no verb");
  if (verb.empty() || verb.size() > kMaxVerb)
    return fail(Code::Malformed, "the verb has no or too many letters");
  Request out{std::string(verb), {}};
  const auto words = (*object)["words"];
  if (words.error() == simdjson::NO_SUCH_FIELD) return out;
  simdjson::dom::array list;
  if (words.get(list) != simdjson::SUCCESS || list.size() > kMaxWords) {
    return fail(Code::Malformed, "the words are not a list of 64 at most");
  }
  for (const auto word : list) {
    std::string_view text;
    if (word.get(text) != simdjson::SUCCESS) return fail(Code::Malformed, "a word is not a text");
    out.words.emplace_back(text);
  }
  return out;
}

Result<Answer> read_answer(std::string_view line) {
  simdjson::dom::parser parser;
  const auto object = read_object(parser, line, "the answer");
  if (!object) return fail(object.error());
  std::int64_t status = 0;
  std::string_view text;
  if ((*object)["status"].get(status) != simdjson::SUCCESS ||
      (*object)["text"].get(text) != simdjson::SUCCESS) {
    return fail(Code::Malformed, "the answer has no status and text");
  }
  if (status < 0 || status > 255) return fail(Code::Malformed, "the answer's status is no exit status");
  return Answer{static_cast<int>(status), std::string(text)};
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
