#include "chat_view.hpp"

#include <algorithm>

namespace sandbox {
namespace {

void read_spans(Json message, std::string_view name, std::vector<Span>& spans) {
  Json list;
  JsonArray items;
  if (!member(message, name, list) || list.get(items) != simdjson::SUCCESS) return;
  for (const Json item : items)
    spans.push_back({std::string(text_of(item, "type")), number_of(item, "offset"), number_of(item, "length"),
                     std::string(text_of(item, "url"))});
}

void read_buttons(Json message, std::vector<Button>& buttons) {
  Json markup;
  Json list;
  JsonArray rows;
  if (!member(message, "reply_markup", markup) || !member(markup, "inline_keyboard", list) ||
      list.get(rows) != simdjson::SUCCESS)
    return;
  for (const Json row : rows) {
    JsonArray cells;
    if (row.get(cells) != simdjson::SUCCESS) continue;
    for (const Json cell : cells)
      buttons.push_back({std::string(text_of(cell, "text")), std::string(text_of(cell, "callback_data")),
                         std::string(text_of(cell, "url"))});
  }
}

std::string file_of(Json message) {
  Json file;
  if (member(message, "photo", file)) return "[photo]";
  if (member(message, "voice", file)) return "[voice]";
  if (!member(message, "document", file)) return {};
  return "[file " + std::string(text_of(file, "file_name")) + "]";
}

std::string rich_text(Json message) {
  Json rich;
  Json list;
  JsonArray blocks;
  if (!member(message, "rich_message", rich) || !member(rich, "blocks", list) ||
      list.get(blocks) != simdjson::SUCCESS)
    return {};
  std::string text;
  for (const Json block : blocks)
    text.append(text.empty() ? "" : "\n\n").append(text_of(block, "text"));
  return text;
}

bool same_text(const Shown& a, const Shown& b) {
  const auto same_span = [](const Span& x, const Span& y) {
    return x.type == y.type && x.offset == y.offset && x.length == y.length && x.url == y.url;
  };
  return a.text == b.text &&
         std::equal(a.spans.begin(), a.spans.end(), b.spans.begin(), b.spans.end(), same_span);
}

std::vector<std::string> button_lines(const Button& button, std::size_t number, const Look& look) {
  if (button.data.empty()) return ansi_lines(button.text + ": " + button.url, {}, look);
  const std::string key = "!" + std::to_string(number);
  return ansi_lines(key + " " + button.text, {{"bold", 0, static_cast<std::int64_t>(key.size()), ""}}, look);
}

void indent(std::vector<std::string>& lines, const std::string& first) {
  for (std::size_t i = 0; i < lines.size(); ++i)
    lines[i].insert(0, i == 0 ? first : "  ");
}

}  // namespace

Shown read_message(Json message, std::int64_t own_user) {
  Shown shown;
  shown.id = number_of(message, "message_id");
  Json from;
  if (member(message, "from", from)) {
    shown.from_bot = flag_of(from, "is_bot");
    shown.own = !shown.from_bot && number_of(from, "id") == own_user;
    shown.who = text_of(from, "first_name");
  }
  shown.file = file_of(message);
  shown.text = text_of(message, "text");
  if (shown.text.empty()) shown.text = text_of(message, "caption");
  if (shown.text.empty()) shown.text = rich_text(message);
  read_spans(message, "entities", shown.spans);
  read_spans(message, "caption_entities", shown.spans);
  read_buttons(message, shown.buttons);
  return shown;
}

std::vector<std::string> message_lines(const Shown& message, const Look& look) {
  Look inner = look;
  if (!message.from_bot && look.columns > 4) inner.columns -= 2;
  std::vector<std::string> lines;
  if (!message.file.empty()) lines = ansi_lines(message.file, {{"italic", 0, 1 << 20, ""}}, inner);
  if (!message.text.empty() || message.file.empty()) {
    std::string_view text = message.text;  // a terminal shows no empty last line
    while (!text.empty() && text.back() == '\n')
      text.remove_suffix(1);
    for (std::string& line : ansi_lines(text, message.spans, inner))
      lines.push_back(std::move(line));
  }
  if (!message.from_bot) {
    if (!message.own)
      lines.insert(lines.begin(), ansi_lines(message.who, {{"bold", 0, 1 << 20, ""}}, inner).front());
    indent(lines, styled("›", kBold, look) + " ");
  }
  for (std::size_t i = 0; i < message.buttons.size(); ++i) {
    for (std::string& line : button_lines(message.buttons[i], i + 1, look))
      lines.push_back(std::move(line));
  }
  lines.emplace_back();
  return lines;
}

void ChatView::hear(Json event, Nanos now) {
  const std::string_view kind = text_of(event, "event");
  Json message;
  if (member(event, "message", message)) {
    if (kind == "sent") {
      drop_drafts();
      note({}, now);
    }
    put(message, now);
  } else if (kind == "deleted") {
    drop(number_of(event, "message_id"));
  } else if (kind == "draft") {
    Shown draft;
    draft.id = -number_of(event, "draft_id");
    draft.from_bot = true;
    draft.text = text_of(event, "text", "…");
    read_spans(event, "entities", draft.spans);
    put(std::move(draft), now);
  } else if (kind == "action") {
    note("typing …", now);
  } else if (kind == "answered") {
    note(std::string(text_of(event, "text")), now);
  }
}

void ChatView::note(std::string text, Nanos now) {
  note_ = std::move(text);
  note_until_ = now + kNoteStays;
}

void ChatView::put(Shown message, Nanos now) {
  const std::int64_t id = message.id;
  const auto live = std::find_if(live_.begin(), live_.end(), [id](const Live& one) { return one.id == id; });
  const auto known = known_.find(id);
  const bool was_shown = known != known_.end();
  const bool same = was_shown && same_text(known->second, message);
  const bool more_buttons = was_shown && message.buttons.size() > known->second.buttons.size();
  if (!was_shown) {
    last_by_bot_ = message.from_bot;
    if (known_.size() >= kRemembered) known_.erase(known_.upper_bound(0));  // the oldest that is no draft
  }
  known_[id] = std::move(message);
  if (live != live_.end()) {
    live->touched = now;
  } else if (!same || more_buttons) {
    live_.push_back({id, now, was_shown});
  }
}

void ChatView::drop(std::int64_t id) {
  known_.erase(id);
  std::erase_if(live_, [id](const Live& live) { return live.id == id; });
}

void ChatView::drop_drafts() {
  std::erase_if(live_, [](const Live& live) { return live.id < 0; });
  std::erase_if(known_, [](const auto& one) { return one.first < 0; });
}

void ChatView::fade(Nanos now) {
  if (now >= note_until_) note_.clear();
  for (const Live live : std::vector<Live>(live_.begin(), live_.end())) {
    if (live.id < 0 && now >= live.touched + kDraftStays) drop(live.id);
  }
}

/// People's words stand as they are said; a draft never does.
Nanos ChatView::settles_at(const Live& live) const {
  const auto known = known_.find(live.id);
  const bool at_once = known == known_.end() || (!known->second.from_bot && !live.again);
  return live.touched + (live.id < 0 ? kDraftStays : at_once ? 0 : kQuiet);
}

std::vector<std::string> ChatView::lines_of(const Live& live) const {
  const auto known = known_.find(live.id);
  if (known == known_.end()) return {};
  std::vector<std::string> lines = message_lines(known->second, look_);
  if (live.again) lines.insert(lines.begin(), styled("(changed)", kDim, look_));
  return lines;
}

std::vector<std::string> ChatView::take_settled(Nanos now) {
  fade(now);
  std::vector<std::string> lines;
  while (live_.size() > (keeps_last_ ? 1U : 0U) && live_.front().id >= 0 &&
         settles_at(live_.front()) <= now) {
    for (std::string& line : lines_of(live_.front()))
      lines.push_back(std::move(line));
    live_.pop_front();
  }
  return lines;
}

std::vector<std::string> ChatView::live_lines(Nanos now) const {
  std::vector<std::string> lines;
  for (const Live& live : live_) {
    for (std::string& line : lines_of(live))
      lines.push_back(std::move(line));
  }
  if (!note_.empty() && now < note_until_) {
    for (const std::string& line : ansi_lines(note_, {{"code", 0, 1 << 20, ""}}, look_))
      lines.push_back(line);
  }
  return lines;
}

std::optional<Nanos> ChatView::next_change(Nanos now) const {
  std::optional<Nanos> next;
  const auto sooner = [&next](Nanos moment) { next = next ? std::min(*next, moment) : moment; };
  if (!note_.empty()) sooner(note_until_);
  if (live_.size() > (keeps_last_ ? 1U : 0U)) sooner(std::max(now, settles_at(live_.front())));
  for (const Live& live : live_) {
    if (live.id < 0) sooner(live.touched + kDraftStays);
  }
  return next;
}

std::optional<ChatView::Press> ChatView::button(std::size_t number) const {
  for (auto one = known_.rbegin(); one != known_.rend(); ++one) {
    std::size_t count = 0;
    for (const Button& button : one->second.buttons) {
      if (++count == number && !button.data.empty()) return Press{one->first, button.data};
    }
    if (count > 0) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace sandbox
