#include "common/core/text.hpp"
#include "gateway/inbound/update.hpp"
#include "tests/fuzz/target.hpp"

namespace katana::fuzz {
namespace {

void check(const gateway::Update& update) {
  const auto* message = std::get_if<gateway::IncomingMessage>(&update.body);
  if (message == nullptr) return;
  require(text::is_valid_utf8(message->text), "a message's text is valid UTF-8");
  require(text::is_valid_utf8(message->caption), "a caption is valid UTF-8");
  require(text::is_valid_utf8(message->arguments), "a command's arguments are valid UTF-8");
  for (const char c : message->command)
    require(c < 'A' || c > 'Z', "a command is lower case");
}

}  // namespace

/// What Telegram hands out, as a batch and as one update.
void run(std::string_view input) {
  static gateway::UpdateParser parser;
  if (const auto batch = parser.parse_batch(input)) {
    for (const gateway::Update& update : *batch)
      check(update);
  } else {
    require(!batch.error().detail.empty(), "the error says why");
  }
  if (const auto one = parser.parse_one(input)) {
    check(*one);
  } else {
    require(!one.error().detail.empty(), "the error says why");
  }
}

}  // namespace katana::fuzz
