#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace katana::gateway::markdown {

/// A Markdown table on its way to monospaced text. Filled while parsing; plain text alone.
class Table {
 public:
  enum class Align { Left, Right, Center };

  void begin_row() { rows_.emplace_back(); }
  void begin_cell(Align align);
  /// The cell that is being filled. Only between begin_cell and the next begin_*.
  std::string& cell() { return rows_.back().back(); }

  /// Columns padded to equal width when the whole fits `kMaxWidth` (a phone's screen holds some forty), else
  /// cells with ` | ` between them. Ends without a line break.
  [[nodiscard]] std::string layout() const;

  static constexpr std::size_t kMaxWidth = 60;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<Align> aligns_;  ///< of the columns, from the first row
};

}  // namespace katana::gateway::markdown
