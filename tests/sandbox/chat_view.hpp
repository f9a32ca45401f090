#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ansi.hpp"
#include "json.hpp"
#include "loop.hpp"

namespace sandbox {

/// A message's button: pressed it sends `data`, or it opens `url`.
struct Button {
  std::string text;
  std::string data;
  std::string url;
};

/// A message as a terminal shows it.
struct Shown {
  std::int64_t id = 0;  ///< negative: a draft
  bool from_bot = false;
  bool own = false;
  std::string who;
  std::string file;  ///< what is said about an attachment
  std::string text;
  std::vector<Span> spans;
  std::vector<Button> buttons;
};

Shown read_message(Json message, std::int64_t own_user);

/// Messages to lines. A message with buttons numbers them, as `!1` presses them.
std::vector<std::string> message_lines(const Shown& message, const Look& look);

/// What of a chat is on the screen: messages that may still change, oldest first, in a part that is redrawn;
/// the others were handed out once and scroll away. Time comes in as an argument.
class ChatView {
 public:
  /// `keeps_last`: the newest message is never settled, since a terminal can redraw it as long as it is the
  /// last.
  ChatView(Look look, std::int64_t own_user, bool keeps_last)
      : look_(look), own_user_(own_user), keeps_last_(keeps_last) {}
  static constexpr Nanos kQuiet = 3 * kSecond;  ///< unchanged for so long: it is settled
  static constexpr Nanos kNoteStays = 5 * kSecond;
  static constexpr Nanos kDraftStays = 30 * kSecond;
  static constexpr std::size_t kRemembered = 300;

  void hear(Json event, Nanos now);
  /// A message that stood in the chat before.
  void put(Json message, Nanos now) { put(read_message(message, own_user_), now); }
  void note(std::string text, Nanos now);
  void resize(std::size_t columns) { look_.columns = columns; }

  /// Lines of the messages that are final now; each is handed out once, and again if it changes after all.
  std::vector<std::string> take_settled(Nanos now);
  std::vector<std::string> live_lines(Nanos now) const;
  /// When something will be settled or fade by itself.
  std::optional<Nanos> next_change(Nanos now) const;

  struct Press {
    std::int64_t message_id = 0;
    std::string data;
  };
  /// Button `number` (from 1) of the newest message that has any.
  std::optional<Press> button(std::size_t number) const;
  /// The bot has had the last word, and it stands.
  bool answered() const { return live_.empty() && last_by_bot_; }

 private:
  struct Live {
    std::int64_t id = 0;
    Nanos touched = 0;
    bool again = false;  ///< it was settled before
  };
  void put(Shown message, Nanos now);
  void drop(std::int64_t id);
  void drop_drafts();
  void fade(Nanos now);
  Nanos settles_at(const Live& live) const;
  std::vector<std::string> lines_of(const Live& live) const;

  Look look_;
  std::int64_t own_user_;
  bool keeps_last_;
  bool last_by_bot_ = false;
  std::map<std::int64_t, Shown> known_;
  std::deque<Live> live_;
  std::string note_;
  Nanos note_until_ = 0;
};

}  // namespace sandbox
