#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/core/clock.hpp"
#include "common/telegram/bot_api.hpp"
#include "gateway/outbound/composer.hpp"
#include "gateway/outbound/flood.hpp"
#include "gateway/outbound/outbox.hpp"

namespace katana::gateway {

struct Lane;

/// Which of two calls that could be made now is made: the lower one. (A first send and a reply come in the
/// chat's order.)
enum class Rank { Final, FirstSend, FirstText, Edit, Typing };

/// What an answer needs next.
enum class Act {
  None,         ///< nothing: it shows what there is
  Wait,         ///< the store is at work for it
  AddRow,       ///< a row for a further part
  Placeholder,  ///< a message without answer text
  SendText,     ///< a message with its text (where drafts take the placeholder's place)
  Draft,
  Edit,
  Delete,     ///< a message that the answer no longer needs
  StepAside,  ///< its bare placeholder goes, and is sent again below what an earlier answer still has to say
  Deliver,    ///< everything is shown: tell the store
};
struct Step {
  Act act = Act::None;
  std::size_t part = 0;
  Rank rank = Rank::Edit;
  Mono from{};  ///< not before
  [[nodiscard]] Urgency urgency() const { return rank >= Rank::Edit ? Urgency::Soft : Urgency::Must; }
};

/// One message of an answer.
struct ShownPart {
  std::int64_t outbox_id = 0;
  std::int64_t message_id = 0;    ///< 0: none that we know of
  std::uint64_t fingerprint = 0;  ///< of what Telegram shows; 0: the placeholder, or unknown
  bool stored = true;             ///< row and message id are durable
  bool done = false;              ///< shows its last text
  bool plain = false;             ///< its formatting was refused
  bool excused = false;           ///< its text was, too: words that say so stand in its place
  bool uncertain = false;         ///< it may be there: the user was asked
  int gone = 0;                   ///< how often it was found deleted
};

/// One answer on its way: what is wanted (the composer), what is shown (the parts), and, from the two, the
/// next step. Pure; owned by the outbox.
struct Answer {
  Answer(AnswerSlot s, config::Streaming mode, Mono now);

  [[nodiscard]] Step next() const;
  /// There is text that Telegram doesn't show: `next` has been worth asking since it came.
  [[nodiscard]] bool pending() const { return composer.count() > 0 && seen_version != composer.version(); }
  /// How many messages it takes, as far as is known now.
  [[nodiscard]] std::size_t wanted() const;
  /// It takes more than one message; of these, some aren't there yet.
  [[nodiscard]] bool long_one() const { return abandoned.empty() && wanted() > 1; }
  [[nodiscard]] bool unsent() const;
  /// Nothing but its placeholder stands there.
  [[nodiscard]] bool bare() const;

  /// The text began again: parts that were done aren't.
  void restarted();
  /// This part's message isn't there any more.
  void lost(std::size_t part);

  /// The message that part `part` should show now.
  [[nodiscard]] telegram::OutText message(std::size_t part);
  [[nodiscard]] telegram::OutText placeholder(std::size_t part) const;

  AnswerSlot slot;
  bool drafts = false;  ///< text is shown as drafts while it grows
  bool only_final = false;
  Composer composer;
  std::vector<ShownPart> parts;
  telegram::Keyboard final_keyboard;
  std::string abandoned;           ///< why it can't be shown
  std::string refusal;             ///< why a part of it isn't
  std::uint64_t seen_version = 0;  ///< of the composer, as the last growing part shows it
  std::uint64_t generation = 0;    ///< of restarts
  std::size_t most_parts = static_cast<std::size_t>(-1);  ///< the store takes no more
  bool final = false;
  bool first_sent = false;
  bool aside = false;       ///< its placeholder stood above messages of an earlier answer, and is gone
  bool held = false;        ///< an earlier answer's messages come before its own
  bool makes_room = false;  ///< later answers' placeholders step aside first
  bool text_shown = false;
  bool delivering = false;
  bool told = false;  ///< on_delivered was called
  Mono since{};       ///< opened; finished, if text was shown before: for the oldest wait
  Mono text_since{};  ///< when text that isn't shown came
  Mono draft_at{};
  std::uint64_t served =
      0;  ///< when a call was last made for it, as a count: chats with several answers take turns
  Lane* lane = nullptr;

 private:
  [[nodiscard]] Step growing(std::size_t part) const;
};

/// Equal messages have equal fingerprints; never 0.
std::uint64_t fingerprint_of(const telegram::OutText& message);

}  // namespace katana::gateway
