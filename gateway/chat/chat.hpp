#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/config/models.hpp"
#include "common/config/settings.hpp"
#include "gateway/chat/access.hpp"
#include "gateway/inbound/update.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

/// What the bot is and offers: made at start from settings, the table of models and getMe.
struct Offer {
  std::string bot_username;  ///< empty until getMe answered: until then no mention is taken as ours
  std::int64_t bot_user_id = 0;
  std::string bot_name = "Katana";
  bool claude = false;
  bool openai = false;
  std::string default_provider;
  std::string default_claude_model;
  std::string default_openai_model;
  config::ModelTable models;
  Seconds max_age = Seconds::max();  ///< an older question waits for its asker's word

  [[nodiscard]] bool offers(std::string_view provider) const;
  /// The provider and model that a choice stands for, defaults filled in.
  [[nodiscard]] ChatChoice resolve(const ChatChoice& choice) const;
  [[nodiscard]] std::string label_of(std::string_view model_id) const;
};

/// What one update comes to: what the store is told, and what is done besides.
struct Decision {
  Intake intake;
  std::optional<Member> knocked;        ///< a stranger to remember, before the intake
  std::optional<std::string> press_id;  ///< a button press to answer (so that its spinner ends)
  std::string press_text;
  std::optional<std::int64_t>
      send_again;                    ///< the button under a message whose first send ended nobody knows how
  bool stop_answer = false;          ///< /stop: cancel what is being written in this conversation
  std::optional<ChatKey> chat_gone;  ///< blocked or kicked
  std::string ignored;               ///< why nothing is done, for log and metrics; empty: something is
};

/// The rules of the conversation: who is answered, what a command does, what is a question. Pure; no clock,
/// no store.
class Chat {
 public:
  /// Questions above this many UTF-16 units are refused with a word (Telegram's own limit is 4096 a message).
  static constexpr std::size_t kMaxPrompt = 16'384;

  Chat(const Offer& offer, Access& access) : offer_(offer), access_(access) {}

  /// True when `decide` must be told the conversation's standing choice.
  [[nodiscard]] bool needs_choice(const Update& update) const;
  Decision decide(const Update& update, const ChatChoice& choice, Wall now) const;
  /// There is no room for its question: the asker is told so instead.
  void turn_away(Decision& d) const;
  /// The decision's commit failed: the update will come again.
  void take_back(const Decision& d) const;

 private:
  void message(const IncomingMessage& m, const ChatChoice& choice, Wall now, Decision& d) const;
  void press(const ButtonPress& p, const ChatChoice& choice, Decision& d) const;
  void command(const IncomingMessage& m, const ChatChoice& choice, Decision& d) const;
  void choose_provider(const std::string& provider, Decision& d, std::int64_t reply_to) const;
  void show_models(const ChatChoice& choice, Decision& d, std::int64_t reply_to) const;
  void choose_model(const std::string& asked, Decision& d, std::int64_t reply_to) const;
  [[nodiscard]] bool addressed(const IncomingMessage& m) const;

  const Offer& offer_;
  Access& access_;
};

}  // namespace katana::gateway
