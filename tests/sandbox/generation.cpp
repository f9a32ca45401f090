#include "generation.hpp"

#include <algorithm>

namespace sandbox {
namespace {

std::size_t word_end(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] != ' ' && text[at] != '\n')
    ++at;
  while (at < text.size() && (text[at] == ' ' || text[at] == '\n'))
    ++at;
  return at;
}

std::int64_t count_words(std::string_view text) {
  std::int64_t words = 0;
  for (std::size_t at = 0; at < text.size(); at = word_end(text, at))
    ++words;
  return words;
}

std::string made_up(std::int64_t tokens) {
  static constexpr std::string_view kWords[] = {
      "katana ", "answers ", "as ",       "it ",  "is ",      "written, ", "one ",
      "piece ",  "after ",   "another, ", "and ", "forgets ", "nothing ",  "meanwhile.\n"};
  std::string text;
  for (std::int64_t i = 0; i < tokens; ++i)
    text += kWords[static_cast<std::size_t>(i) % std::size(kWords)];
  return text;
}

Nanos nanos(double ms) {
  return static_cast<Nanos>(ms * kMilli);
}

}  // namespace

Generation::Generation(Providers& providers, HttpConnection& connection, Ask ask, Script script,
                       std::unique_ptr<Dialect> dialect)
    : providers_(providers),
      connection_(&connection),
      ask_(std::move(ask)),
      script_(std::move(script)),
      dialect_(std::move(dialect)),
      timer_(providers.loop_, [this] { step(); }) {
  if (script_.answer) {
    text_ = *script_.answer;
  } else if (script_.tokens > 0) {
    text_ = made_up(script_.tokens - (script_.end.empty() ? 0 : 1));
  } else {
    text_ = demo_answer(ask_);
  }
  text_ += script_.end;
  pieces_ = count_words(text_);
  if (script_.answer && script_.tokens > 0) {
    pieces_ = std::min<std::int64_t>(script_.tokens, static_cast<std::int64_t>(text_.size()));
    piece_bytes_ = (text_.size() + static_cast<std::size_t>(std::max<std::int64_t>(1, pieces_)) - 1) /
                   static_cast<std::size_t>(std::max<std::int64_t>(1, pieces_));
  }
  if (ask_.max_tokens > 0 && pieces_ > ask_.max_tokens) {
    pieces_ = ask_.max_tokens;
    capped_ = true;
  }
}

void Generation::begin(Nanos received) {
  connection_->hold(this);
  connection_->slice_output(script_.chunk_bytes, nanos(script_.chunk_gap_ms));
  if (script_.hang) return;
  next_ = received + nanos(script_.first_ms);
  if (!ask_.stream) next_ += nanos(script_.token_ms * static_cast<double>(pieces_));
  timer_.at(next_);
}

void Generation::connection_gone() {
  connection_ = nullptr;
  over();
}

void Generation::over() {
  timer_.cancel();
  if (connection_ != nullptr) connection_->hold(nullptr);
  const auto found = providers_.running_.find(this);
  if (found == providers_.running_.end()) return;
  providers_.loop_.bury(std::move(found->second));
  providers_.running_.erase(found);
}

std::string_view Generation::next_piece() {
  std::size_t end = piece_bytes_ > 0 ? std::min(text_.size(), at_ + piece_bytes_) : word_end(text_, at_);
  while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0U) == 0x80U)
    ++end;  // whole characters
  if (sent_ + 1 == pieces_ && !capped_) end = text_.size();
  const std::string_view piece = std::string_view(text_).substr(at_, end - at_);
  at_ = end;
  return piece;
}

/// True: something scripted has happened, and the rest of the turn is off.
bool Generation::misfortune() {
  if (script_.error_after == sent_) {
    dialect_->break_off(script_.mid_error_type, script_.mid_error_message, out_);
    connection_->write(out_);
    HttpConnection* connection = connection_;
    over();
    connection->end();
    return true;
  }
  if (script_.cut_after == sent_) {
    HttpConnection* connection = connection_;
    connection->write(out_);
    over();
    connection->cut(script_.cut_by_reset);
    return true;
  }
  if (script_.broken_json_after == sent_) {
    dialect_->delta("broken", out_);
    connection_->write(std::string_view(out_).substr(0, out_.size() - 5));
    connection_->write("\n\n");
    out_.clear();
    ++sent_;
  }
  if (script_.stall_after == sent_) {
    if (script_.stall_pings) {
      dialect_->ping(out_);
      timer_.in(kSecond);
    }
    connection_->write(out_);
    return true;
  }
  return false;
}

void Generation::step() {
  if (connection_ == nullptr) return;
  if (!ask_.stream) return reply_whole();
  out_.clear();
  if (!begun_) {
    begun_ = true;
    connection_->begin(200, "text/event-stream; charset=utf-8",
                       "Cache-Control: no-cache\r\n" + dialect_->headers(ask_));
    dialect_->start(ask_, out_);
    if (!script_.thinking.empty()) dialect_->thinking(script_.thinking, out_);
  }
  // All that is due by now goes into one write: with no pause between pieces, the whole answer.
  const Nanos now = now_ns();
  while (sent_ < pieces_ && next_ <= now) {
    if (misfortune()) {
      return;
    }
    if (script_.pings > 0 && sent_ % script_.pings == 0) dialect_->ping(out_);
    dialect_->delta(next_piece(), out_);
    ++sent_;
    next_ += nanos(script_.token_ms);
  }
  if (sent_ < pieces_) {
    connection_->write(out_);
    timer_.at(next_);
    return;
  }
  if (!misfortune()) finish();
}

std::string_view Generation::stop_reason() const {
  if (!script_.stop_reason.empty()) return script_.stop_reason;
  return capped_ ? "max_tokens" : "end_turn";
}

void Generation::finish() {
  const std::string_view text = std::string_view(text_).substr(0, at_);
  dialect_->finish(ask_, text, stop_reason(), {ask_.input_tokens, pieces_}, out_);
  connection_->write(out_);
  ++providers_.answers_;
  if (providers_.probe_ != nullptr && !script_.end.empty())
    providers_.probe_->on_last_byte(script_.end, now_ns());
  HttpConnection* connection = connection_;
  over();
  connection->end();
}

void Generation::reply_whole() {
  std::size_t end = 0;
  for (sent_ = 0; sent_ < pieces_; ++sent_) {
    next_piece();
    end = at_;
  }
  out_.clear();
  dialect_->whole(ask_, std::string_view(text_).substr(0, end), script_.thinking, stop_reason(),
                  {ask_.input_tokens, pieces_}, out_);
  if (script_.broken_json_after >= 0) out_.resize(out_.size() / 2);
  ++providers_.answers_;
  if (providers_.probe_ != nullptr && !script_.end.empty())
    providers_.probe_->on_last_byte(script_.end, now_ns());
  HttpConnection* connection = connection_;
  if (script_.cut_after >= 0) {
    over();
    return connection->cut(script_.cut_by_reset);
  }
  if (script_.stall_after >= 0) return;
  const std::string headers = dialect_->headers(ask_);
  over();
  connection->reply(200, "application/json", out_, headers);
}

}  // namespace sandbox
