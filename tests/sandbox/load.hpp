#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"
#include "provider.hpp"
#include "telegram.hpp"

namespace sandbox {

struct LoadShape {
  std::int64_t chats = 1;
  std::int64_t messages = 1000;  ///< in all chats together
  std::int64_t tokens = 1;
  double token_ms = 0;
  double first_ms = 0;
  double patience_s = 60;  ///< a message without its answer for so long is lost
  std::int64_t first_chat = 5'000'000'000;
};

/// Reads "chats=200,messages=10000,tokens=60,token_ms=20" or JSON of the same names. An error text, or empty.
std::string read_load(std::string_view text, LoadShape& shape);
std::string read_load(Json spec, LoadShape& shape);

/// The load generator: chats in a closed loop, each sending its next message when the last one's whole answer
/// stands in the chat. Measures what the product adds: (update handed out → request at the provider) + (last
/// byte from the provider → the message that carries the end mark).
class Load : public Probe, public AnswerProbe {
 public:
  Load(Loop& loop, Telegram& telegram, Providers& providers);
  ~Load() override;

  /// An error text, or empty. `done` gets the report.
  std::string start(LoadShape shape, std::function<void(const std::string&)> done);
  bool running() const { return running_; }
  std::string report() const;
  void stop();

  /// Asked for the number of error replies so far.
  std::function<std::uint64_t()> errors;

  void on_text(std::int64_t chat, std::int64_t message, std::string_view text) override;
  void on_handed_out(std::int64_t chat) override;
  void on_asked(std::string_view end_mark, Nanos when) override;
  void on_last_byte(std::string_view end_mark, Nanos when) override;

 private:
  struct Runner;
  void start_more();
  void send(Runner& runner);
  void settle(Runner& runner, std::int64_t message, Nanos now);
  Runner* of_mark(std::string_view mark, std::int64_t& number);
  void look_for_lost();
  void end();

  Loop& loop_;
  Telegram& telegram_;
  Providers& providers_;
  LoadShape shape_;
  bool running_ = false;
  Bot* bot_ = nullptr;
  std::vector<Runner> runners_;
  std::int64_t sent_ = 0;
  std::int64_t settled_ = 0;
  std::int64_t lost_ = 0;
  std::int64_t late_ = 0;
  std::int64_t doubled_ = 0;
  std::int64_t asked_again_ = 0;
  std::int64_t unmeasured_ = 0;
  Nanos began_ = 0;
  Nanos ended_ = 0;
  std::vector<std::uint32_t> added_us_;
  std::vector<std::uint32_t> before_us_;
  std::vector<std::uint32_t> after_us_;
  std::function<void(const std::string&)> done_;
  Timer patrol_;
  Timer starter_;
  std::size_t started_ = 0;
  Nanos all_began_ = 0;
  Nanos all_sent_ = 0;
  std::int64_t settled_at_begin_ = 0;
  std::int64_t settled_at_sent_ = 0;
  std::uint64_t errors_before_ = 0;
  std::uint64_t errors_after_ = 0;
  std::int64_t next_number_ = 1;
  std::size_t usual_messages_ = 0;
  std::size_t usual_edits_ = 0;
};

}  // namespace sandbox
