#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/outbound/blocks.hpp"
#include "gateway/outbound/markdown.hpp"

namespace katana::gateway {

/// One answer on its way to messages: text comes in pieces of any size, parts that fit a Telegram message
/// come out. Pure; one a turn, owned by the outbox.
///
/// Where to cut is decided by the source alone and by no more of it than the part itself and the character
/// that would not fit. So the parts are the same however the text was sliced, and every part but the last
/// never changes again while the text grows. Each part's size is bounded from above before it is rendered
/// (`Meter`); a new character costs a step of that count, and only the last part is rendered again, when
/// somebody asks.
class Composer {
 public:
  /// Telegram's limit, in UTF-16 units.
  static constexpr std::size_t kMaxUnits = 4096;
  /// What a part's source may cost; the rest of the 4096 is for the footer.
  static constexpr std::size_t kBudget = 3800;
  static constexpr std::size_t kMaxFooter = 256;

  void append(std::string_view piece);
  /// The whole text so far. True, and as cheap as `append`, when it goes on from what is there; else the
  /// parts begin anew.
  bool assign(std::string_view whole);
  void clear();
  /// No more text comes: the last part is rendered as it stands, with the footer (plain text) under it.
  void finish(std::string_view footer);

  /// 0 while there is nothing to be seen; after `finish` at least 1.
  [[nodiscard]] std::size_t count() const;
  /// True for a part that no `append` can change.
  [[nodiscard]] bool frozen(std::size_t part) const { return finished_ || part + 1 < count(); }
  /// What part `part` shows; valid until the next change. Its text is empty only while a last part has
  /// nothing to be seen yet (a code block's opening line alone).
  const markdown::Formatted& part(std::size_t part);
  /// The part's source without any formatting, for when Telegram refuses the entities.
  [[nodiscard]] std::string plain(std::size_t part) const;
  /// Counts changes of the text.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  [[nodiscard]] const std::string& source() const { return text_; }

 private:
  /// A part's start: where in the text, and what is put before it so that it reads as it did (a code block's
  /// opening line, a table's head, open emphasis).
  struct Piece {
    std::size_t begin = 0;
    std::string prefix{};
    markdown::Formatted shown{};
    bool rendered = false;
  };
  /// An upper bound of what a line, or a part, comes to when it is rendered.
  struct Meter {
    std::size_t lines = 0;  ///< cost of the part's complete lines
    std::size_t units = 0;  ///< of the line that is being read
    std::size_t tabs = 0;
    std::size_t pipes = 0;
    [[nodiscard]] std::size_t line(bool code, bool table) const;
  };
  /// The last place so far where the part could end, and what it would cost by then.
  struct Place {
    std::size_t at = 0;
    std::size_t cost = 0;
  };

  [[nodiscard]] std::size_t budget() const;
  void scan();
  void end_line(std::size_t line_end);
  void cut();
  void begin_part(std::size_t at, std::string prefix, markdown::Fences fences);
  [[nodiscard]] std::string_view source_of(std::size_t part) const;
  [[nodiscard]] markdown::Formatted rendered(std::size_t part) const;
  [[nodiscard]] bool in_table_rows() const { return table_head_end_ > 0; }

  std::string text_;     ///< clean
  std::string pending_;  ///< the first bytes of a character whose rest hasn't come
  std::vector<Piece> pieces_{1};
  std::string footer_;
  bool finished_ = false;
  std::uint64_t version_ = 0;

  // The part that is being read.
  std::size_t at_ = 0;  ///< next byte to read
  std::size_t line_begin_ = 0;
  bool seen_text_ = false;  ///< something other than blanks
  Meter meter_;
  markdown::Fences fences_;
  bool piped_ = false;  ///< since the last blank line there was a `|`: lines may come out padded
  std::size_t fence_begin_ = 0;
  std::size_t table_begin_ = 0;     ///< of the head's line
  std::size_t table_head_end_ = 0;  ///< 0: not in a table
  std::size_t last_line_begin_ = 0;
  Place paragraph_, line_, word_;
};

}  // namespace katana::gateway
