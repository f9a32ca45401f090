#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http.hpp"
#include "json.hpp"

namespace sandbox {

/// One parameter of a Bot API call, however it was sent.
struct Param {
  enum class Kind { Text, Value, File };
  std::string_view name;
  Kind kind = Kind::Text;
  std::string_view text;  ///< Text: decoded; File: the bytes
  Json value;             ///< Value: from a JSON body
  std::string_view file_name;
  std::string_view content_type;
};

/// The parameters of one call: JSON, form, multipart and query alike, as the real server takes them. Good
/// until the next `read`, and no longer than the request's buffer.
class Params {
 public:
  /// False: the body can't be read; `why` says so in Telegram's manner.
  bool read(const Request& request, std::string& why);

  const Param* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::string_view text(std::string_view name) const;
  std::optional<std::int64_t> integer(std::string_view name) const;
  bool flag(std::string_view name) const;
  /// An object or an array: nested in a JSON body, or JSON inside a text. False: absent or no JSON.
  bool json(std::string_view name, Json& value);
  const std::vector<Param>& all() const { return params_; }

 private:
  bool read_json(std::string_view body);
  void read_form(std::string_view form);
  bool read_multipart(std::string_view body, std::string_view boundary);

  std::vector<Param> params_;
  std::deque<std::string> decoded_;
  simdjson::dom::parser parser_;
  std::deque<simdjson::dom::parser> nested_;
};

}  // namespace sandbox
