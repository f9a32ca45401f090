#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <simdjson.h>

namespace sandbox {

using Json = simdjson::dom::element;
using JsonObject = simdjson::dom::object;
using JsonArray = simdjson::dom::array;

/// Appends `text` as a JSON string, quotes included.
void append_json(std::string& out, std::string_view text);
void append_number(std::string& out, std::int64_t number);
std::string to_json(std::string_view text);

/// Lenient readers for control requests and nested parameters: what is absent or of another kind gives the
/// default.
std::string_view text_of(Json object, std::string_view name, std::string_view otherwise = {});
std::int64_t number_of(Json object, std::string_view name, std::int64_t otherwise = 0);
double real_of(Json object, std::string_view name, double otherwise = 0);
bool flag_of(Json object, std::string_view name, bool otherwise = false);
/// False when there is no such member.
bool member(Json object, std::string_view name, Json& found);

enum class Kind { Any, String, Number, Boolean, Array, Object };
bool is_a(Json value, Kind kind);
/// `string`, `number` …
std::string_view to_string(Kind kind);
/// A member that a request may have. Null stands for its absence.
struct Field {
  std::string_view name;
  Kind kind = Kind::Any;
};
const Field* find_field(const Field* fields, std::size_t count, std::string_view name);

}  // namespace sandbox
