#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace sandbox {

/// Formatting as Telegram counts it: offset and length in UTF-16 code units.
struct Entity {
  std::string type;
  std::int64_t offset = 0;
  std::int64_t length = 0;
  std::string extra;  ///< further members as JSON, each with its leading comma
};

/// Text with its formatting.
struct Formatted {
  std::string text;
  std::vector<Entity> entities;
};

std::size_t utf16_length(std::string_view text);
bool valid_utf8(std::string_view text);

/// Reads `entities` as sent. An error is Telegram's description without "Bad Request: "; empty: good.
std::string read_entities(Json array, std::vector<Entity>& entities);
/// Every entity must lie inside the text and begin and end between characters.
std::string check_entities(std::string_view text, const std::vector<Entity>& entities);
/// Cuts white space at both ends, as the real server does, and moves the entities along.
void trim(Formatted& formatted);
std::string entities_json(const std::vector<Entity>& entities);

/// What the real server finds by itself: commands, mentions, links, hashtags aren't all needed; commands,
/// mentions and http links are.
void detect_entities(Formatted& formatted);

/// `parse_mode`: "HTML", "MarkdownV2" or "Markdown" (any case). Errors as above.
std::string parse_markup(std::string_view mode, std::string_view source, Formatted& formatted);

}  // namespace sandbox
