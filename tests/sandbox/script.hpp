#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "json.hpp"
#include "loop.hpp"

namespace sandbox {

/// How a provider answers: a whole error, or a stream with a shape and perhaps a misfortune in it.
struct Script {
  std::string provider;  ///< anthropic, openai; empty: either
  std::string match;     ///< must stand in the last user message; empty: any
  std::int64_t skip = 0;
  std::int64_t count = 1;  ///< -1: for ever

  std::optional<std::string> answer;
  std::int64_t tokens = 0;  ///< the answer in this many pieces, or that many made-up words; 0: a piece a word
  double token_ms = 40;
  double first_ms = 250;
  std::size_t chunk_bytes = 0;  ///< slice the TCP writes
  double chunk_gap_ms = 1;
  std::int64_t pings = 0;  ///< a ping before every so many-th piece; Anthropic only
  std::string thinking;
  std::string stop_reason;  ///< end_turn, max_tokens, refusal … in Anthropic's words
  std::string end;          ///< the last piece: the mark by which the load generator knows the end

  // A refusal instead of an answer.
  int error_status = 0;
  std::string error_type;
  std::string error_message;
  std::string error_code;
  std::string error_headers;  ///< whole lines; each takes the place of the usual one of its name
  bool error_html = false;

  // Misfortunes in mid-answer, counted in pieces; -1: none.
  std::int64_t error_after = -1;
  std::string mid_error_type;
  std::string mid_error_message;
  std::int64_t cut_after = -1;
  bool cut_by_reset = true;
  std::int64_t stall_after = -1;
  bool stall_pings = false;  ///< silent of text, but pinging every second
  std::int64_t broken_json_after = -1;
  bool hang = false;  ///< takes the request, never answers

  double input_tokens_factor = 1;
};

/// Sets what the JSON names, leaves the rest. An error text, or empty.
std::string read_script(Json spec, Script& script);
/// `[[tokens=60 token_ms=20 first_ms=0 end=X status=529]]` in a prompt, the last one in it.
void obey_prompt(std::string_view prompt, Script& script);

/// Header lines, with those of `own` in the place of the usual ones of the same name.
std::string overlaid(const std::string& usual, const std::string& own);

/// The scripts that wait for their requests, and how everything else is answered.
class Scripts {
 public:
  void add(Script script) { waiting_.push_back(std::move(script)); }
  Script take(std::string_view provider, std::string_view last_user_text);
  Script& defaults() { return defaults_; }
  std::size_t size() const { return waiting_.size(); }
  void clear() {
    waiting_.clear();
    defaults_ = Script();
  }

 private:
  std::deque<Script> waiting_;
  Script defaults_;
};

}  // namespace sandbox
