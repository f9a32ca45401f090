#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "gateway/store/sql.hpp"

namespace katana::gateway::sql {
namespace {

namespace dom = simdjson::dom;

std::string string_at(const dom::element& array, std::size_t index) {
  std::string_view text;
  return array.at(index).get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

std::size_t size_at(const dom::element& array, std::size_t index) {
  std::uint64_t number = 0;
  return array.at(index).get(number) == simdjson::SUCCESS ? number : 0;
}

}  // namespace

/// [[entity …], [row of buttons …]], each entity and button an array of its members; empty when there are
/// none.
std::string write_layout(const Reply& reply) {
  if (reply.entities.empty() && reply.keyboard.empty()) return {};
  auto entities = nlohmann::json::array();
  for (const auto& e : reply.entities) {
    entities.push_back(nlohmann::json::array({e.type, e.offset, e.length, e.url, e.language}));
  }
  auto keyboard = nlohmann::json::array();
  for (const auto& row : reply.keyboard) {
    auto buttons = nlohmann::json::array();
    for (const auto& b : row)
      buttons.push_back(nlohmann::json::array({b.text, b.data, b.url}));
    keyboard.push_back(std::move(buttons));
  }
  const auto layout = nlohmann::json::array({std::move(entities), std::move(keyboard)});
  return layout.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// What can't be read is left out: the text alone still tells what it has to.
void read_layout(std::string_view layout, Reply& reply) {
  if (layout.empty()) return;
  dom::parser parser;
  dom::element root;
  if (parser.parse(layout.data(), layout.size()).get(root) != simdjson::SUCCESS) return;
  dom::array entities;
  if (root.at(0).get(entities) == simdjson::SUCCESS) {
    for (const dom::element e : entities) {
      reply.entities.push_back(
          {string_at(e, 0), size_at(e, 1), size_at(e, 2), string_at(e, 3), string_at(e, 4)});
    }
  }
  dom::array keyboard;
  if (root.at(1).get(keyboard) != simdjson::SUCCESS) return;
  for (const dom::element row : keyboard) {
    dom::array buttons;
    if (row.get(buttons) != simdjson::SUCCESS) continue;
    auto& out = reply.keyboard.emplace_back();
    for (const dom::element b : buttons)
      out.push_back({string_at(b, 0), string_at(b, 1), string_at(b, 2)});
  }
}

}  // namespace katana::gateway::sql
