#include "json.hpp"

#include <algorithm>
#include <charconv>

namespace sandbox {

void append_json(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, start, i - start);
    start = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(text, start, text.size() - start);
  out += '"';
}

void append_number(std::string& out, std::int64_t number) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

std::string to_json(std::string_view text) {
  std::string out;
  append_json(out, text);
  return out;
}

bool member(Json object, std::string_view name, Json& found) {
  JsonObject fields;
  return object.get(fields) == simdjson::SUCCESS && fields.at_key(name).get(found) == simdjson::SUCCESS;
}

std::string_view text_of(Json object, std::string_view name, std::string_view otherwise) {
  Json found;
  std::string_view text;
  return member(object, name, found) && found.get(text) == simdjson::SUCCESS ? text : otherwise;
}

std::int64_t number_of(Json object, std::string_view name, std::int64_t otherwise) {
  Json found;
  if (!member(object, name, found)) return otherwise;
  std::int64_t number = 0;
  if (found.get(number) == simdjson::SUCCESS) return number;
  std::string_view text;
  if (found.get(text) == simdjson::SUCCESS &&
      std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc()) {
    return number;
  }
  return otherwise;
}

double real_of(Json object, std::string_view name, double otherwise) {
  Json found;
  double number = 0;
  return member(object, name, found) && found.get(number) == simdjson::SUCCESS ? number : otherwise;
}

bool flag_of(Json object, std::string_view name, bool otherwise) {
  Json found;
  bool flag = false;
  return member(object, name, found) && found.get(flag) == simdjson::SUCCESS ? flag : otherwise;
}

bool is_a(Json value, Kind kind) {
  switch (kind) {
    case Kind::String:
      return value.is_string();
    case Kind::Number:
      return value.is_number();
    case Kind::Boolean:
      return value.is_bool();
    case Kind::Array:
      return value.is_array();
    case Kind::Object:
      return value.is_object();
    case Kind::Any:
      break;
  }
  return true;
}

std::string_view to_string(Kind kind) {
  static constexpr std::string_view kNames[] = {"value", "string", "number", "boolean", "array", "object"};
  return kNames[static_cast<std::size_t>(kind)];
}

const Field* find_field(const Field* fields, std::size_t count, std::string_view name) {
  const auto* it = std::find_if(fields, fields + count, [&](const Field& f) { return f.name == name; });
  return it == fields + count ? nullptr : it;
}

}  // namespace sandbox
