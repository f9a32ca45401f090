#include "gateway/outbound/answer.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "gateway/chat/phrases.hpp"

namespace katana::gateway {
namespace {

/// First text waits this long for more: an answer that is there at once then costs one edit, not two.
constexpr Millis kGather{30};
/// A draft is shown for 30 s; one that stands still is sent again before.
constexpr Millis kDraftRefresh{20'000};
constexpr std::string_view kPlaceholder = "…";

}  // namespace

Answer::Answer(AnswerSlot s, config::Streaming mode, Mono now)
    : slot(std::move(s)),
      drafts(mode == config::Streaming::Draft && slot.chat.chat_id > 0),
      only_final(mode == config::Streaming::Off),
      since(now) {
  std::sort(slot.parts.begin(), slot.parts.end(),
            [](const AnswerPart& a, const AnswerPart& b) { return a.part < b.part; });
  for (const AnswerPart& p : slot.parts)
    parts.push_back({p.outbox_id, p.message_id});
  slot.parts.clear();
  first_sent = !parts.empty() && parts.front().message_id != 0;
}

std::size_t Answer::wanted() const {
  const std::size_t count = only_final && !final ? 1 : std::max<std::size_t>(1, composer.count());
  return std::min(count, most_parts);
}

bool Answer::unsent() const {
  if (!long_one()) return false;
  const std::size_t there = std::min(parts.size(), wanted());
  return there < wanted() ||
         std::any_of(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(there),
                     [](const ShownPart& p) { return p.message_id == 0 && !p.uncertain; });
}

bool Answer::bare() const {
  return first_sent && abandoned.empty() && !delivering && parts.size() == 1 && parts[0].stored &&
         parts[0].message_id != 0 && parts[0].fingerprint == 0 && !text_shown;
}

void Answer::restarted() {
  ++generation;
  for (ShownPart& p : parts)
    p.done = false;
}

void Answer::lost(std::size_t part) {
  parts[part].message_id = 0;
  parts[part].fingerprint = 0;
  parts[part].done = false;
  seen_version = static_cast<std::uint64_t>(-1);
}

/// The last part while the text grows: rendered only when its turn has come.
Step Answer::growing(std::size_t part) const {
  const bool changed = pending();
  if (drafts && parts[part].message_id == 0) {
    const bool first = draft_at == Mono{};
    const Rank rank = first ? Rank::FirstSend : text_shown ? Rank::Edit : Rank::FirstText;
    if (first) return {Act::Draft, part, rank};
    return {Act::Draft, part, rank,
            changed ? (text_shown ? Mono{} : text_since + kGather) : draft_at + kDraftRefresh};
  }
  if (!changed) return {};
  return {Act::Edit, part, text_shown ? Rank::Edit : Rank::FirstText,
          text_shown ? Mono{} : text_since + kGather};
}

Step Answer::next() const {
  if (delivering) return {Act::Wait};
  if (!abandoned.empty()) return {final ? Act::Deliver : Act::None};
  const std::size_t count = wanted();
  const Rank rank = final ? Rank::Final : first_sent ? Rank::Edit : Rank::FirstSend;
  for (std::size_t k = 0; k < count; ++k) {
    if (k == parts.size()) return {Act::AddRow, k};
    const ShownPart& part = parts[k];
    if (!part.stored) return {Act::Wait};
    if (part.uncertain || part.done) continue;
    const bool grows = !composer.frozen(k);
    if (part.message_id == 0) {
      // Of a finished answer, too: whoever sees one waits for its text, and that goes before more of them.
      if (!drafts) return {Act::Placeholder, k, k == 0 ? Rank::FirstSend : rank};
      if (!grows) return {Act::SendText, k, final ? Rank::Final : Rank::Edit};
    }
    if (only_final && !final) return {};
    if (grows) return growing(k);
    return {Act::Edit, k, rank};
  }
  if (!final) return {};
  if (parts.size() > count) {
    const ShownPart& last = parts.back();
    if (!last.stored) return {Act::Wait};
    return {Act::Delete, parts.size() - 1, Rank::Final};
  }
  return {Act::Deliver};
}

telegram::OutText Answer::placeholder(std::size_t part) const {
  telegram::OutText m;
  m.chat_id = slot.chat.chat_id;
  m.thread_id = slot.chat.thread_id;
  if (m.chat_id < 0) m.reply_to = slot.question_id;  // each of its messages: others may come in between
  m.silent = part > 0 || aside;
  m.text = kPlaceholder;
  if (!final && part + 1 >= composer.count()) m.keyboard = slot.keyboard;
  return m;
}

telegram::OutText Answer::message(std::size_t part) {
  telegram::OutText m = placeholder(part);
  const bool last = part + 1 >= composer.count();
  m.keyboard = !last ? telegram::Keyboard{} : final ? final_keyboard : slot.keyboard;
  if (parts[part].excused) {
    m.text = phrases::not_shown(slot.job_id);
  } else if (parts[part].plain) {
    m.text = composer.plain(part);
  } else {
    const markdown::Formatted& shown = composer.part(part);
    m.text = shown.text;
    m.entities = shown.entities;
  }
  return m;
}

std::uint64_t fingerprint_of(const telegram::OutText& message) {
  std::uint64_t h = 0x9E3779B97F4A7C15ULL;
  const auto mix = [&h](std::uint64_t v) { h = (h ^ v) * 0xFF51AFD7ED558CCDULL, h ^= h >> 32; };
  const auto mix_text = [&](std::string_view s) { mix(std::hash<std::string_view>{}(s)), mix(s.size()); };
  mix_text(message.text);
  for (const telegram::Entity& e : message.entities) {
    mix_text(e.type);
    mix(e.offset);
    mix(e.length);
    mix_text(e.url);
    mix_text(e.language);
  }
  for (const auto& row : message.keyboard) {
    mix(row.size());
    for (const telegram::Button& b : row)
      mix_text(b.text), mix_text(b.data), mix_text(b.url);
  }
  return h == 0 ? 1 : h;
}

}  // namespace katana::gateway
