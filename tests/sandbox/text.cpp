#include "text.hpp"

#include <algorithm>

namespace sandbox {
namespace {

std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (c & 0x80) != 0;
}

/// How many bytes at the start of `text` are a link, a mention or a command; 0: none.
std::size_t detect_one(std::string_view text, bool space_before, std::string_view& type) {
  std::size_t length = 0;
  if (text.substr(0, 7) == "http://" || text.substr(0, 8) == "https://") {
    type = "url";
    while (length < text.size() && !is_space(text[length]) && text[length] != ')' && text[length] != '"')
      ++length;
    return length;
  }
  if (text[0] != '@' && !(text[0] == '/' && space_before)) return 0;
  type = text[0] == '@' ? "mention" : "bot_command";
  const bool command = text[0] == '/';
  for (length = 1; length < text.size(); ++length) {
    const char c = text[length];
    if ((c & 0x80) != 0 || (!is_word(c) && !(command && c == '@'))) break;
  }
  return length < (command ? 2U : 4U) ? 0 : length;
}

constexpr std::string_view kKinds[] = {
    "mention", "hashtag", "cashtag",   "bot_command",   "url",          "email",      "phone_number",
    "bold",    "italic",  "underline", "strikethrough", "spoiler",      "blockquote", "expandable_blockquote",
    "code",    "pre",     "text_link", "text_mention",  "custom_emoji", "date_time"};

}  // namespace

std::size_t utf16_length(std::string_view text) {
  std::size_t units = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    units += (byte & 0xC0U) != 0x80U ? 1U : 0U;
    units += byte >= 0xF0U ? 1U : 0U;
  }
  return units;
}

bool valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string read_entities(Json array, std::vector<Entity>& entities) {
  JsonArray items;
  if (array.get(items) != simdjson::SUCCESS)
    return "can't parse entities: expected an Array of MessageEntity";
  for (const Json item : items) {
    JsonObject fields;
    if (item.get(fields) != simdjson::SUCCESS) return "can't parse MessageEntity: expected an Object";
    Entity entity;
    entity.type = text_of(item, "type");
    if (std::find(std::begin(kKinds), std::end(kKinds), entity.type) == std::end(kKinds)) {
      return "can't parse MessageEntity: unsupported type \"" + entity.type + "\"";
    }
    for (const std::string_view name : {"offset", "length"}) {
      std::int64_t number = 0;
      if (fields.at_key(name).get(number) != simdjson::SUCCESS) {
        return "can't parse MessageEntity: Can't find field \"" + std::string(name) + "\"";
      }
      (name == "offset" ? entity.offset : entity.length) = number;
    }
    for (const auto field : fields) {
      if (field.key == "type" || field.key == "offset" || field.key == "length") continue;
      entity.extra += ',';
      append_json(entity.extra, field.key);
      entity.extra += ':';
      entity.extra += simdjson::minify(field.value);
    }
    if (entity.type == "text_link" && text_of(item, "url").empty())
      return "can't parse MessageEntity: Can't find field \"url\"";
    entities.push_back(std::move(entity));
  }
  return {};
}

std::string check_entities(std::string_view text, const std::vector<Entity>& entities) {
  const auto units = static_cast<std::int64_t>(utf16_length(text));
  std::vector<bool> boundary(static_cast<std::size_t>(units) + 1, false);
  std::size_t unit = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0U) == 0x80U) continue;
    boundary[unit] = true;
    unit += byte >= 0xF0U ? 2 : 1;
  }
  boundary[unit] = true;
  for (const Entity& entity : entities) {
    const std::string where = "entity beginning at UTF-16 offset " + std::to_string(entity.offset);
    if (entity.offset < 0 || entity.length <= 0 || entity.offset > units) {
      return "entity offset " + std::to_string(entity.offset) + " or length " +
             std::to_string(entity.length) + " is out of range";
    }
    if (entity.offset + entity.length > units) {
      return where + " ends after the end of the text at UTF-16 offset " +
             std::to_string(entity.offset + entity.length);
    }
    if (!boundary[static_cast<std::size_t>(entity.offset)])
      return where + " begins in a middle of a UTF-16 symbol";
    if (!boundary[static_cast<std::size_t>(entity.offset + entity.length)])
      return where + " ends in a middle of a UTF-16 symbol";
  }
  return {};
}

void trim(Formatted& formatted) {
  std::string& text = formatted.text;
  std::size_t end = text.size();
  while (end > 0 && is_space(text[end - 1]))
    --end;
  std::size_t start = 0;
  while (start < end && is_space(text[start]))
    ++start;
  if (start == 0 && end == text.size()) return;
  text = text.substr(start, end - start);
  const auto units = static_cast<std::int64_t>(utf16_length(text));
  const auto shift = static_cast<std::int64_t>(start);
  for (Entity& entity : formatted.entities) {
    const std::int64_t first = std::clamp<std::int64_t>(entity.offset - shift, 0, units);
    const std::int64_t last = std::clamp<std::int64_t>(entity.offset + entity.length - shift, 0, units);
    entity.offset = first;
    entity.length = last - first;
  }
  std::erase_if(formatted.entities, [](const Entity& entity) { return entity.length == 0; });
}

std::string entities_json(const std::vector<Entity>& entities) {
  if (entities.empty()) return {};
  std::string out = "[";
  for (const Entity& entity : entities) {
    if (out.size() > 1) out += ',';
    out += "{\"offset\":";
    append_number(out, entity.offset);
    out += ",\"length\":";
    append_number(out, entity.length);
    out += ",\"type\":";
    append_json(out, entity.type);
    out += entity.extra;
    out += '}';
  }
  return out + "]";
}

void detect_entities(Formatted& formatted) {
  const std::string_view text = formatted.text;
  if (text.find_first_of("/@") == std::string_view::npos) return;
  const auto inside = [&formatted](std::int64_t offset) {
    return std::any_of(formatted.entities.begin(), formatted.entities.end(), [offset](const Entity& e) {
      return offset >= e.offset && offset < e.offset + e.length;
    });
  };
  std::int64_t unit = 0;
  std::size_t i = 0;
  while (i < text.size()) {
    const bool word_before = i > 0 && is_word(text[i - 1]);
    std::string_view type;
    const std::size_t length =
        word_before ? 0 : detect_one(text.substr(i), i == 0 || is_space(text[i - 1]), type);
    if (length > 0 && !inside(unit)) {
      Entity entity;
      entity.type = type;
      entity.offset = unit;
      entity.length = static_cast<std::int64_t>(utf16_length(text.substr(i, length)));
      unit += entity.length;
      formatted.entities.push_back(std::move(entity));
      i += length;
    } else {
      const auto lead = static_cast<unsigned char>(text[i]);
      unit += lead >= 0xF0U ? 2 : 1;
      i += std::max<std::size_t>(1, sequence_length(lead));
    }
  }
  std::stable_sort(formatted.entities.begin(), formatted.entities.end(),
                   [](const Entity& a, const Entity& b) { return a.offset < b.offset; });
}

}  // namespace sandbox
